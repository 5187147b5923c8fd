//! From the Responses API.

use super::super::json::Json;
use super::super::{Ask, Translated, Untranslatable};

pub(in super::super) fn request(
    _ask: &Ask<'_>,
    _json: Json<'_>,
) -> Result<Translated, Untranslatable> {
    Err(super::super::field::Path::Root.refuse("Responses cannot be translated for this provider."))
}
