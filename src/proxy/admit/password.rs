//! A password: looked up among those tried a moment ago, else verified on a thread of its own.
//!
//! A hash takes tens of milliseconds of a core by design; no worker can give that. A few threads
//! for the whole process verify, a bounded queue waits for them, and what is beyond it is refused
//! with 503. Invariants: no password is kept, only a digest of it for a minute; a wrong one and an
//! unknown user take the same way and give the same answer.

use std::cell::Cell;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError};
use serde_json::{Map, Value};

use super::proofs::Tried;
use super::token::only;
use super::{Proven, Refusal};
use crate::auth::basic::{Credentials, Hash, Users};
use crate::auth::shown::basic;
use crate::auth::{Claims, Shown};
use crate::bounds::{PASSWORD_KEPT_FOR, PASSWORD_QUEUE, PASSWORD_THREADS, PROOF_LOOK};
use crate::clock;
use crate::integration::Exchange;
use crate::net::deadline;
use crate::net::patience::Ended;
use crate::proxy::serve::Scene;
use crate::snapshot::Authorizer;

/// The threads that verify passwords.
pub struct Pool {
    jobs: Sender<Job>,
}

struct Job {
    hash: Arc<Hash>,
    password: Vec<u8>,
    done: Arc<AtomicU8>,
}

/// A place among those who wait; given back when dropped.
pub(super) struct Place<'a>(&'a Cell<usize>);

const PENDING: u8 = 0;
const RIGHT: u8 = 1;
const WRONG: u8 = 2;
/// What a full queue takes at a second a hash.
const WAIT: Duration = Duration::from_secs(40);

/// Judges the name and password of a request, if it has them.
pub async fn judge(
    scene: &Scene<'_>,
    exchange: &Exchange<'_>,
    authorizer: &Authorizer,
    users: &Users,
) -> Result<Proven, Refusal> {
    let request = exchange.request;
    let value = only(Shown::authorization(request.head, request.block))?;
    let encoded = basic(value).ok_or(Refusal::Missing)?;
    let shown = Credentials::parse(encoded).ok_or(Refusal::Unclear("credentials_malformed"))?;
    let proofs = &scene.context.proofs;
    let digest = proofs.digest(authorizer.id, &[shown.user.as_bytes(), &shown.password]);
    let tried = proofs.passwords.borrow_mut().get(&digest);
    if let Some(tried) = tried.filter(|tried| exchange.started < tried.until) {
        let (claims, subject) = tried.proven.ok_or(Refusal::Password)?;
        return Ok(Proven { claims, subject, token: None, known: true });
    }
    let Credentials { user, password } = shown;
    let (hash, is_known) = users.find(&user);
    let right = Box::pin(verify(scene, hash, password)).await? && is_known;
    let proven = right.then(|| named(&user));
    let until = clock::now().after(PASSWORD_KEPT_FOR);
    proofs.passwords.borrow_mut().put(digest, Tried { proven: proven.clone(), until });
    let (claims, subject) = proven.ok_or(Refusal::Password)?;
    Ok(Proven { claims, subject, token: None, known: false })
}

fn named(user: &str) -> (Arc<Claims>, Arc<str>) {
    let all = Map::from_iter([("sub".to_owned(), Value::from(user))]);
    (Arc::new(Claims::new(all)), Arc::from(user))
}

async fn verify(scene: &Scene<'_>, hash: &Arc<Hash>, password: Vec<u8>) -> Result<bool, Refusal> {
    let done = Arc::new(AtomicU8::new(PENDING));
    let job = Job { hash: hash.clone(), password, done: done.clone() };
    if !Pool::shared().take(job) {
        return Err(Refusal::Unavailable("password_queue_full"));
    }
    let until = clock::now().after(WAIT);
    let over = async {
        while done.load(Ordering::Acquire) == PENDING && clock::now() < until {
            deadline::sleep_until(clock::now().after(PROOF_LOOK)).await;
        }
    };
    match scene.patience.wait(over).await {
        Ok(()) if done.load(Ordering::Acquire) != PENDING => {}
        Ok(()) | Err(Ended::Deadline) => return Err(Refusal::Unavailable("password_queue_slow")),
        Err(Ended::ClientGone | Ended::Io(_)) => return Err(Refusal::ClientGone),
    }
    Ok(done.load(Ordering::Acquire) == RIGHT)
}

// === impl Pool ===

impl Pool {
    /// The process's; its threads start with the first password.
    fn shared() -> &'static Pool {
        static POOL: OnceLock<Pool> = OnceLock::new();
        POOL.get_or_init(|| {
            let (jobs, todo) = crossbeam_channel::bounded(PASSWORD_QUEUE);
            for at in 0..PASSWORD_THREADS {
                let todo: Receiver<Job> = todo.clone();
                let name = format!("password-{at}");
                let body = move || todo.iter().for_each(Job::run);
                if let Err(error) = std::thread::Builder::new().name(name).spawn(body) {
                    tracing::error!(%error, "no thread to verify passwords on");
                }
            }
            Pool { jobs }
        })
    }

    /// False: the queue is full, or nobody works it off.
    fn take(&self, job: Job) -> bool {
        match self.jobs.try_send(job) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

// === impl Job ===

impl Job {
    fn run(self) {
        // Whoever asked may have gone: then there is nobody to work for.
        if Arc::strong_count(&self.done) == 1 {
            return;
        }
        let right = self.hash.verify(&self.password);
        self.done.store(if right { RIGHT } else { WRONG }, Ordering::Release);
    }
}

// === impl Place ===

impl Place<'_> {
    pub(super) fn take(waiting: &Cell<usize>) -> Place<'_> {
        waiting.set(waiting.get() + 1);
        Place(waiting)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
