//! The database file: how it is opened, what it is called when it cannot be, and its form.
//!
//! SQLite in WAL mode with full synchronisation: what was acknowledged outlives a kill and a power
//! cut. The form has a number (`user_version`); older files are brought up to date when opened,
//! newer ones refused. The file holds digests of secrets, so nobody but its owner may read it.
//! Invariant: triggers write the name of every key that changes into `changes`, whoever changes it,
//! so that another process on the same directory sees it.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use crate::bounds;

/// Marks the file as ours: "RWAY".
const APPLICATION: i64 = 0x5257_4159;

/// What a database of ours is: its file, and its forms, each what makes it of the one before.
pub struct Shape {
    /// Its name in the state directory.
    pub file: &'static str,
    /// Marks the file as ours.
    pub application: i64,
    pub forms: &'static [&'static str],
}

/// Keys, the audit trail, reloads.
pub const STORE: Shape = Shape { file: "ringway.db", application: APPLICATION, forms: FORMS };

const FORMS: &[&str] = &["
    CREATE TABLE keys (
        name    TEXT PRIMARY KEY NOT NULL,
        enabled INTEGER NOT NULL,
        expires INTEGER,
        owner   TEXT NOT NULL,
        tags    TEXT NOT NULL,
        plans   TEXT NOT NULL,
        allow   TEXT NOT NULL,
        created INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE key_values (
        key       TEXT NOT NULL REFERENCES keys (name) ON DELETE CASCADE,
        nth       INTEGER NOT NULL,
        digest    BLOB NOT NULL UNIQUE,
        shown     TEXT NOT NULL,
        created   INTEGER NOT NULL,
        not_after INTEGER,
        PRIMARY KEY (key, nth)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE changes (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL) STRICT;
    CREATE TRIGGER key_added AFTER INSERT ON keys
        BEGIN INSERT INTO changes (name) VALUES (new.name); END;
    CREATE TRIGGER key_changed AFTER UPDATE ON keys
        BEGIN INSERT INTO changes (name) VALUES (old.name), (new.name); END;
    CREATE TRIGGER key_removed AFTER DELETE ON keys
        BEGIN INSERT INTO changes (name) VALUES (old.name); END;
    CREATE TRIGGER value_added AFTER INSERT ON key_values
        BEGIN INSERT INTO changes (name) VALUES (new.key); END;
    CREATE TRIGGER value_changed AFTER UPDATE ON key_values
        BEGIN INSERT INTO changes (name) VALUES (old.key), (new.key); END;
    CREATE TRIGGER value_removed AFTER DELETE ON key_values
        BEGIN INSERT INTO changes (name) VALUES (old.key); END;
    CREATE TABLE audit (
        id     INTEGER PRIMARY KEY AUTOINCREMENT,
        at_ms  INTEGER NOT NULL,
        who    TEXT NOT NULL,
        action TEXT NOT NULL,
        object TEXT NOT NULL,
        before TEXT,
        after  TEXT
    ) STRICT;
    CREATE INDEX audit_of_object ON audit (object, id);
    CREATE TABLE reloads (
        id         INTEGER PRIMARY KEY AUTOINCREMENT,
        at_ms      INTEGER NOT NULL,
        generation INTEGER NOT NULL,
        outcome    TEXT NOT NULL,
        cause      TEXT NOT NULL,
        changes    TEXT NOT NULL,
        error      TEXT
    ) STRICT;
"];

/// Why the store does not do what it is asked.
#[derive(Debug)]
pub enum StoreError {
    /// The directory or the file cannot be made or opened.
    Io(PathBuf, io::Error),
    /// Another program has had it locked for seconds.
    Locked(PathBuf),
    /// What is in the file is no database, or a broken one.
    Damaged(PathBuf, String),
    /// Another program's database, or one of a newer version of this.
    Foreign(PathBuf, String),
    /// Anything else that SQLite says.
    Sql(PathBuf, rusqlite::Error),
}

/// The open database.
pub struct Db {
    pub conn: Connection,
    pub path: PathBuf,
}

// === impl Db ===

impl Db {
    /// Opens the database of a state directory, which is made if it is not there.
    ///
    /// # Errors
    /// What is wrong with the directory or the file.
    pub fn open(dir: &Path, shape: &Shape) -> Result<Db, StoreError> {
        let path = dir.join(shape.file);
        let io = |path: &Path, error| StoreError::Io(path.to_owned(), error);
        if !dir.exists() {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(0o700).create(dir).map_err(|error| io(dir, error))?;
        }
        // Made before SQLite does it, which would ask the umask who may read it. Its companions
        // (-wal, -shm) get the permissions of the file.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| io(&path, error))?;
        let mode = file.metadata().map_err(|error| io(&path, error))?.permissions().mode();
        if mode & 0o077 != 0 {
            file.set_permissions(fs::Permissions::from_mode(0o600))
                .map_err(|error| io(&path, error))?;
            tracing::warn!(path = %path.display(), "others could read the store; no more");
        }
        drop(file);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(&path, flags)
            .map_err(|error| StoreError::of(&path, error))?;
        Db::set_up(conn, path, shape)
    }

    /// A database in memory: for a gateway that keeps nothing, its history since the start.
    ///
    /// # Errors
    /// When there is no memory.
    pub fn in_memory(shape: &Shape) -> Result<Db, StoreError> {
        let path = PathBuf::from("(memory)");
        let conn = Connection::open_in_memory().map_err(|error| StoreError::of(&path, error))?;
        Db::set_up(conn, path, shape)
    }

    fn set_up(mut conn: Connection, path: PathBuf, shape: &Shape) -> Result<Db, StoreError> {
        conn.busy_timeout(bounds::STORE_LOCKED).map_err(|error| StoreError::of(&path, error))?;
        Db::prepare(&mut conn, &path, shape)?;
        Ok(Db { conn, path })
    }

    fn prepare(conn: &mut Connection, path: &Path, shape: &Shape) -> Result<(), StoreError> {
        let of = |error| StoreError::of(path, error);
        let number = |conn: &Connection, name: &str| {
            conn.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(of)
        };
        let (application, form) = (number(conn, "application_id")?, number(conn, "user_version")?);
        let tables: i64 = conn
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .map_err(of)?;
        if application != shape.application && (application != 0 || form != 0 || tables != 0) {
            let why = "it is a database of another program";
            return Err(StoreError::Foreign(path.to_owned(), why.to_owned()));
        }
        let newest = i64::try_from(shape.forms.len()).expect("there are few forms");
        if form > newest {
            let why = format!("a newer Ringway wrote it (form {form}, this one knows {newest})");
            return Err(StoreError::Foreign(path.to_owned(), why));
        }
        conn.pragma_update(None, "journal_mode", "wal").map_err(of)?;
        conn.pragma_update(None, "synchronous", "full").map_err(of)?;
        conn.pragma_update(None, "foreign_keys", true).map_err(of)?;
        if form < newest {
            // Two processes may come here at once: the second finds it done.
            let all = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(of)?;
            let form = number(&all, "user_version")?;
            let done = usize::try_from(form).expect("not negative: it is below the newest");
            for step in &shape.forms[done..] {
                all.execute_batch(step).map_err(of)?;
            }
            all.pragma_update(None, "application_id", shape.application).map_err(of)?;
            all.pragma_update(None, "user_version", newest).map_err(of)?;
            all.commit().map_err(of)?;
        }
        Ok(())
    }

    /// What SQLite said, with the name of the file.
    pub fn error(&self, error: rusqlite::Error) -> StoreError {
        StoreError::of(&self.path, error)
    }

    /// A number that grows when another process has changed the file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn version(&self) -> Result<i64, StoreError> {
        let version = self.conn.pragma_query_value(None, "data_version", |row| row.get(0));
        version.map_err(|error| self.error(error))
    }
}

// === impl StoreError ===

impl StoreError {
    pub fn of(path: &Path, error: rusqlite::Error) -> StoreError {
        let path = path.to_owned();
        let io = |kind: io::ErrorKind| StoreError::Io(path.clone(), kind.into());
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked(path),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                StoreError::Damaged(path, error.to_string())
            }
            Some(ErrorCode::ReadOnly) => io(io::ErrorKind::ReadOnlyFilesystem),
            Some(ErrorCode::DiskFull) => io(io::ErrorKind::StorageFull),
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                io(io::ErrorKind::PermissionDenied)
            }
            _ => StoreError::Sql(path, error),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Io(path, error) => write!(
                f,
                "the store {} cannot be used: {error}; gateway.state_dir must be a directory that \
                 the gateway's user may write to",
                path.display()
            ),
            StoreError::Locked(path) => write!(
                f,
                "the store {} is locked by another program (`fuser {0}` says by which); close it",
                path.display()
            ),
            StoreError::Damaged(path, why) => write!(
                f,
                "the store {} is damaged ({why}): put a backup in its place, or move it away to \
                 begin with none; nothing has been changed",
                path.display()
            ),
            StoreError::Foreign(path, why) => write!(
                f,
                "the store {} is not this gateway's: {why}; name another gateway.state_dir",
                path.display()
            ),
            StoreError::Sql(path, error) => write!(f, "the store {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for StoreError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(dir: &Path) -> String {
        match Db::open(dir, &STORE) {
            Ok(_) => panic!("it opened"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_file_is_its_owners_only_and_opens_again() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("a/b");
        for _ in 0..2 {
            let db = Db::open(&state, &STORE).unwrap();
            db.conn.execute("INSERT INTO changes (name) VALUES ('x')", []).unwrap();
            for name in ["ringway.db", "ringway.db-wal", "ringway.db-shm"] {
                let mode = fs::metadata(state.join(name)).unwrap().permissions().mode();
                assert_eq!(mode & 0o777, 0o600, "{name}");
            }
        }
        assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o700);
        fs::set_permissions(state.join(STORE.file), fs::Permissions::from_mode(0o644)).unwrap();
        Db::open(&state, &STORE).unwrap();
        assert_eq!(
            fs::metadata(state.join(STORE.file)).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_and_the_file_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(STORE.file);
        fs::write(&path, "this is no database at all, but a text".repeat(200)).unwrap();
        let before = fs::read(&path).unwrap();
        assert!(failure(dir.path()).contains("is damaged"), "{}", failure(dir.path()));
        assert_eq!(fs::read(&path).unwrap(), before);

        fs::remove_file(&path).unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("CREATE TABLE mine (x)").unwrap();
        drop(other);
        assert!(failure(dir.path()).contains("of another program"));

        fs::remove_file(&path).unwrap();
        let db = Db::open(dir.path(), &STORE).unwrap();
        db.conn.pragma_update(None, "user_version", 99).unwrap();
        drop(db);
        assert!(failure(dir.path()).contains("a newer Ringway wrote it (form 99"));

        let blocked = dir.path().join("file/state");
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(failure(&blocked).contains("gateway.state_dir must be a directory"));
    }
}
