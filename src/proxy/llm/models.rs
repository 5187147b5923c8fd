//! What the gateway itself answers of models: which there are, and how long a prompt is where its
//! provider cannot say.

use serde_json::{Value, json};

use crate::failure::{Details, Failure};
use crate::integration::llm::Chat;
use crate::integration::{Exchange, fixed};
use crate::message::Reply;
use crate::proxy::serve::Scene;
use crate::snapshot::{LlmRoute, Model};

use super::read::may_use;

/// Answers `GET /models` and `GET /models/ID`: what this caller may ask for here.
///
/// # Errors
/// When there is no such model, or the client does not take the answer.
pub async fn list(
    scene: &Scene<'_>,
    exchange: &mut Exchange<'_>,
    rules: &LlmRoute,
    reply: &mut Reply<'_>,
) -> Result<(), Failure> {
    let models = &scene.current.snapshot.llm.models;
    let may = |name: &str| rules.allows(name) && may_use(exchange, name);
    let answer = match wanted(exchange.path) {
        Some(name) => match models.find(&name).filter(|_| may(&name)) {
            Some(model) => described(&name, model),
            None => return Err(unknown(exchange, &name)),
        },
        None => {
            // What a `*` stands for only its provider knows.
            let named = models.iter().filter(|model| !model.is_wildcard() && may(&model.name));
            let data: Vec<Value> = named.map(|model| described(&model.name, model)).collect();
            let id = |model: Option<&Value>| model.map_or(Value::Null, |model| model["id"].clone());
            json!({
                "object": "list",
                "first_id": id(data.first()),
                "last_id": id(data.last()),
                "has_more": false,
                "data": data,
            })
        }
    };
    fixed::json(exchange, &answer.to_string(), reply, &scene.patience).await
}

/// How long a prompt is, by the gateway's own estimate.
///
/// # Errors
/// When the client does not take the answer.
pub async fn count(
    scene: &Scene<'_>,
    exchange: &mut Exchange<'_>,
    chat: &Chat<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), Failure> {
    let answer = json!({ "input_tokens": chat.input_estimate() });
    fixed::json(exchange, &answer.to_string(), reply, &scene.patience).await
}

/// The model a path ends in; `None`: all of them.
pub(super) fn wanted(path: &[u8]) -> Option<String> {
    let path = String::from_utf8_lossy(path);
    // A name may hold slashes: `org/model`.
    let (_, name) = path.split_once("/models/")?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// In OpenAI's words and in Anthropic's at once: neither minds the other's.
fn described(name: &str, model: &Model) -> Value {
    let owner = model.targets.first().map_or("", |target| &*target.provider.name);
    json!({
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": owner,
        "type": "model",
        "display_name": name,
        "created_at": "1970-01-01T00:00:00Z",
    })
}

pub(super) fn unknown(exchange: &mut Exchange<'_>, name: &str) -> Failure {
    let message = format!("The model `{name}` does not exist or you do not have access to it.");
    exchange.told = Some(Box::new(Details::new().message(message).param("model")));
    Failure::ProviderModel
}
