//! The admin API: JSON under /admin/v1.
//!
//! Matches a request against its table, asks who may, reads what was sent, and gives the answer or
//! has the store or the control thread give it. Knows no socket. Invariant: what is not in the
//! table is not answered, and no answer but those to create and rotate holds a secret.

mod access;
mod ask;
mod keys;
mod offline;
mod openapi;
mod problem;
mod query;
mod reads;
mod table;
mod usage;

use std::sync::Arc;

use crossbeam_channel::Sender;

use super::page::{Asked, JSON, Page};
use crate::bounds;
use crate::clock;
use crate::control::ledger::{Desk, NoReport, Question};
use crate::control::store::{By, Clerk, Refused, Store};
use crate::http::Name;
use crate::limit::Times;
use crate::observe::registry::Registry;
use crate::snapshot::Cell;
use problem::Problem;
use query::Query;
use table::{Found, Op, Row};
use usage::Usage;

pub use access::complaints;
pub use ask::{Ask, NotLoaded, What, preview, reloaded};
pub use offline::Offline;

/// What the API needs to know and whom it asks.
pub struct Api {
    pub cell: Arc<Cell>,
    pub clerk: Clerk,
    pub ledger: Desk,
    pub asks: Sender<Ask>,
    pub way: Way,
    /// What has been counted; `None`: no gateway runs here.
    pub registry: Option<Arc<Registry>>,
}

/// How requests come.
pub enum Way {
    /// By the admin address, which may be reached from this host only.
    Network { loopback: bool },
    /// From within this process, for whoever it says.
    Here(String),
}

// === impl Api ===

impl Api {
    /// Whether the path is of the API.
    #[must_use]
    pub fn has(path: &[u8]) -> bool {
        let rest = path.strip_prefix(table::ROOT.as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    }

    /// Answers a request to it.
    #[must_use]
    pub fn answer(&self, asked: &Asked<'_>) -> Page {
        self.try_answer(asked).unwrap_or_else(|refusal| refusal)
    }

    fn try_answer(&self, asked: &Asked<'_>) -> Result<Page, Page> {
        let path = std::str::from_utf8(asked.request.path()).unwrap_or_default();
        let (row, name) = match table::find(asked.request.method(), path) {
            Found::Row(row, name) => (row, name),
            Found::OtherMethod(methods) => {
                let page = Problem::Method.page("The path takes other methods: see Allow.");
                return Err(page.with("allow", methods.join(", ")));
            }
            Found::Nothing => {
                return Err(Problem::NotFound.page("No such path; /admin/v1 lists them."));
            }
        };
        let conf = &self.cell.load().config.admin;
        if let Way::Network { loopback } = self.way {
            access::check(asked, conf, loopback, row.writes())?;
        }
        let query = Query::read(asked, row)?;
        let name = name.map(query::decoded).transpose()?;
        let name = name.as_deref().unwrap_or_default();
        check_media_type(asked, row)?;
        Ok(match row.op {
            Op::Index => reads::index(),
            Op::OpenApi => Page::of(200, JSON, openapi::text().into_bytes()),
            Op::Apis => self.section("apis"),
            Op::Api => return reads::one(&self.cell.load().config.masked_json(), "apis", name),
            Op::Routes => reads::routes(&self.cell.load(), query.api.as_deref()),
            Op::Versions => {
                reads::versions(&self.cell.load(), self.usage().as_ref(), clock::wall())
            }
            Op::Upstreams => reads::upstreams(&self.cell.load()),
            Op::Providers => reads::providers(&self.cell.load()),
            Op::Models => reads::models(&self.cell.load()),
            Op::Plans => self.section("plans"),
            Op::Limits => {
                let now = Times { boot: clock::boottime(), wall: clock::wall() };
                reads::limits(&self.cell.load(), now)
            }
            Op::Authorizers => self.section("authorizers"),
            Op::Keys => keys::list(&self.clerk.table, self.usage().as_ref(), &query),
            Op::Key => return keys::show(&self.clerk.table, self.usage().as_ref(), name),
            Op::KeyCreate => return self.create(asked),
            Op::KeyChange => return self.change(asked, name),
            Op::KeyDelete => {
                let (tag, name) = (query::if_match(asked)?, name.to_owned());
                self.write(asked, move |store, by| {
                    store.delete(&name, tag.as_deref(), by)?;
                    Ok(Page::of(204, JSON, Vec::new()))
                })
            }
            Op::KeyRotate => return self.rotate(asked, name),
            Op::Reload => self.ask(What::Reload { cause: self.who(asked) }),
            Op::Preview => self.ask(What::Preview),
            Op::Reloads => self.read(move |store| {
                let list = store.reloads(query.before, query.limit + 1)?;
                Ok(query::page_back("reloads", list, query.limit))
            }),
            Op::Usage => return self.ledger(&query),
            Op::Audit => self.read(move |store| {
                let list = store.audit(query.before, query.object.as_deref(), query.limit + 1)?;
                Ok(query::page_back("audit", list, query.limit))
            }),
        })
    }

    fn usage(&self) -> Option<Usage> {
        Some(Usage::of(self.cell.load(), self.registry.as_ref()?))
    }

    fn section(&self, name: &str) -> Page {
        let snapshot = self.cell.load();
        reads::all(&snapshot.config.masked_json(), name)
    }

    fn create(&self, asked: &Asked<'_>) -> Result<Page, Page> {
        let record = keys::new_key(asked.body, clock::wall())?;
        let snapshot = self.cell.load();
        keys::check_plans(&snapshot.keys.plans, &record).map_err(|why| keys::refused(&why))?;
        Ok(self.write(asked, move |store, by| {
            let made = store.create(record, by)?;
            let location = format!("{}/keys/{}", table::ROOT, made.record.name);
            Ok(keys::made(201, &made, by.at).with("location", location))
        }))
    }

    fn change(&self, asked: &Asked<'_>, name: &str) -> Result<Page, Page> {
        let patch = keys::object(asked.body)?;
        let (tag, name) = (query::if_match(asked)?, name.to_owned());
        let snapshot = self.cell.load();
        Ok(self.write(asked, move |store, by| {
            let patched = store.change(&name, tag.as_deref(), by, |record| {
                keys::patch(record, &patch)?;
                keys::check_plans(&snapshot.keys.plans, record)
            })?;
            Ok(keys::page(200, &patched, by.at))
        }))
    }

    fn rotate(&self, asked: &Asked<'_>, name: &str) -> Result<Page, Page> {
        let rotation = keys::rotation(asked.body, clock::wall())?;
        let (tag, name) = (query::if_match(asked)?, name.to_owned());
        Ok(self.write(asked, move |store, by| {
            let (value, grace) = (rotation.value, rotation.grace);
            let made = store.rotate(&name, tag.as_deref(), by, value, grace)?;
            Ok(keys::made(200, &made, by.at))
        }))
    }

    /// Has the store change something.
    fn write(
        &self,
        asked: &Asked<'_>,
        job: impl FnOnce(&mut Store, &By) -> Result<Page, Refused> + Send + 'static,
    ) -> Page {
        let by = By { who: self.who(asked), at: clock::wall() };
        let counts = self.clerk.counts.clone();
        self.on_store(move |store| {
            let done = job(store, &by);
            match &done {
                Ok(_) => counts.wrote(true),
                Err(Refused::Store(_)) => counts.wrote(false),
                Err(_) => {}
            }
            done
        })
    }

    /// Has the store read something.
    fn read(&self, job: impl FnOnce(&mut Store) -> Result<Page, Refused> + Send + 'static) -> Page {
        self.on_store(job)
    }

    /// Adds the usage up, on the thread that reads the ledger.
    fn ledger(&self, query: &Query) -> Result<Page, Page> {
        let only = query.only.split(',').filter(|condition| !condition.is_empty());
        let question =
            Question::read(&query.by, &query.since, query.until.as_deref(), only, clock::wall())
                .map_err(|(name, why)| query::wrong(name, &why))?;
        let Ok((promise, page)) = Page::later() else { return Ok(busy()) };
        let by = clock::now().after(bounds::LEDGER_REPORT_TIME);
        let asked = self.ledger.ask(move |conn| {
            promise.keep(match conn.map(|conn| question.answer(conn, by)) {
                Ok(Ok(answer)) => Page::json(200, &answer),
                Ok(Err(why @ NoReport::TooMany)) => Problem::Invalid.page(why.to_string()),
                Ok(Err(why)) => Problem::Unavailable.page(why.to_string()),
                Err(error) => Problem::Unavailable.page(error.to_string()),
            });
        });
        if asked { Ok(page) } else { Ok(busy()) }
    }

    fn on_store(
        &self,
        job: impl FnOnce(&mut Store) -> Result<Page, Refused> + Send + 'static,
    ) -> Page {
        let Ok((promise, page)) = Page::later() else { return busy() };
        let asked = self.clerk.ask(move |store| {
            promise.keep(job(store).unwrap_or_else(|refused| keys::refused(&refused)));
        });
        if asked { page } else { busy() }
    }

    fn who(&self, asked: &Asked<'_>) -> String {
        match &self.way {
            Way::Network { .. } => agent(asked),
            Way::Here(who) => who.clone(),
        }
    }

    fn ask(&self, what: What) -> Page {
        let Ok((promise, page)) = Page::later() else { return busy() };
        match self.asks.try_send(Ask { what, promise }) {
            Ok(()) => page,
            Err(_) => busy(),
        }
    }
}

fn busy() -> Page {
    Problem::Unavailable.page("The gateway is busy with others, or about to end: try again.")
}

/// Who asks, for the audit trail: an address, and what the client calls itself.
fn agent(asked: &Asked<'_>) -> String {
    let agent = asked.request.value(Name::UserAgent).unwrap_or_default();
    let agent = String::from_utf8_lossy(agent);
    let agent: String = agent.chars().filter(|c| !c.is_control()).take(64).collect();
    match agent.as_str() {
        "" => format!("admin API from {}", asked.peer.ip()),
        agent => format!("admin API from {} ({agent})", asked.peer.ip()),
    }
}

/// A body is JSON, and is there where one must be.
fn check_media_type(asked: &Asked<'_>, row: &Row) -> Result<(), Page> {
    let Some((_, required)) = row.body else {
        if asked.body_bytes > 0 && row.writes() {
            return Err(Problem::Invalid.page("This takes no body."));
        }
        return Ok(());
    };
    if asked.body_bytes == 0 && !required {
        return Ok(());
    }
    if asked.body_bytes > asked.body.len() as u64 {
        return Err(Problem::TooLarge.page("A body has at most 64 KiB here."));
    }
    let value = asked.request.value(Name::ContentType).unwrap_or_default();
    let essence = value.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    let is = |name: &[u8]| essence.eq_ignore_ascii_case(name);
    if is(b"application/json") || row.method == "PATCH" && is(b"application/merge-patch+json") {
        return Ok(());
    }
    Err(Problem::MediaType.page("Send application/json."))
}

#[cfg(test)]
mod tests;
