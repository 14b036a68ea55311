//! The rows of the embedded log's file, as a damaged disk would give them.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use loa_contract::topics::{SettlementsTopic, Topic as _};
use loa_embedded::{EmbeddedLog, Options};
use loa_ports::clock::SystemClock;
use loa_ports::log::{Append, Log as _, Position};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqliteConnection};
use tokio::runtime::Runtime;

use super::told;

/// Records of the good file.
const RECORDS: u32 = 6;
/// How long reading a damaged file may wait for more.
const READ_LIMIT: Duration = Duration::from_millis(20);

struct Good {
    runtime: Runtime,
    folder: tempfile::TempDir,
}

thread_local! {
    static GOOD: RefCell<Option<Good>> = const { RefCell::new(None) };
}

/// The blobs of the good file: first the directory, then the data, the length of the first in front.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    with(|good| {
        let blobs = good.runtime.block_on(blobs(&good.folder.path().join("log.db")));
        let joined = |(directory, data): &(Vec<u8>, Vec<u8>)| {
            let length = u16::try_from(directory.len()).unwrap_or(u16::MAX);
            [&length.to_be_bytes()[..], directory, data].concat()
        };
        let mut seeds: Vec<_> = blobs.iter().map(joined).collect();
        seeds.push(vec![0, 0]);
        seeds
    })
}

/// A damaged row is a fault that is told, or records; never a broken process.
pub(crate) fn run(input: &[u8]) -> u64 {
    with(|good| {
        let path = good.folder.path().join("damaged.db");
        for kind in ["", "-wal", "-shm"] {
            let (old, good) = (format!("damaged.db{kind}"), format!("log.db{kind}"));
            let (old, good) = (path.with_file_name(old), path.with_file_name(good));
            if old.exists() {
                std::fs::remove_file(&old).expect("our own file");
            }
            if good.exists() {
                std::fs::copy(good, old).expect("room on the disk");
            }
        }
        let length = input.first_chunk::<2>().map_or(0, |first| usize::from(u16::from_be_bytes(*first)));
        let rest = input.get(2..).unwrap_or_default();
        let (directory, data) = rest.split_at(length.min(rest.len()));
        good.runtime.block_on(async {
            damage(&path, directory, data).await;
            read(&path).await
        })
    })
}

async fn read(path: &Path) -> u64 {
    let log = match EmbeddedLog::open(path, Arc::new(SystemClock::new()), Options::default()).await {
        Ok(log) => log,
        Err(_) => return told("not opened"),
    };
    let positions = (0..SettlementsTopic::SPEC.partitions).map(|partition| Position { partition, offset: 0 });
    let outcome = match log.reader(SettlementsTopic::SPEC, positions.collect()).await {
        Ok(mut reader) => {
            let (mut records, mut ended) = (0, "at the end");
            while let Ok(read) = tokio::time::timeout(READ_LIMIT, reader.next(100)).await {
                match read {
                    Ok(read) => records += read.len(),
                    Err(_) => {
                        ended = "by a fault";
                        break;
                    }
                }
            }
            told((records, ended))
        }
        Err(_) => told("no reader"),
    };
    log.close().await;
    outcome
}

fn with<R>(f: impl FnOnce(&Good) -> R) -> R {
    GOOD.with_borrow_mut(|good| f(good.get_or_insert_with(make)))
}

fn make() -> Good {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let path = folder.path().join("log.db");
    runtime.block_on(async {
        let log =
            EmbeddedLog::open(&path, Arc::new(SystemClock::new()), Options::default()).await.expect("a fresh file");
        for number in 0..RECORDS {
            let value = vec![u8::try_from(number).unwrap_or(0); 40].into();
            let append = Append {
                topic: SettlementsTopic::SPEC,
                partition: number % 3,
                key: Vec::new().into(),
                headers: vec![("traceparent".to_owned(), vec![b'0'; 55].into())],
                value,
            };
            log.append(vec![append]).await.expect("a fresh file takes records");
        }
        log.close().await;
    });
    Good { runtime, folder }
}

async fn connect(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).connect().await.expect("our own file")
}

async fn blobs(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut connection = connect(path).await;
    let rows = sqlx::query("select dir, data from batch").fetch_all(&mut connection).await.expect("the log's rows");
    connection.close().await.expect("our own file");
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Puts the blobs into the newest row.
async fn damage(path: &Path, directory: &[u8], data: &[u8]) {
    const SQL: &str = "update batch set dir = $1, data = $2 where id = (select max(id) from batch)";
    let mut connection = connect(path).await;
    sqlx::query(SQL).bind(directory).bind(data).execute(&mut connection).await.expect("our own file");
    connection.close().await.expect("our own file");
}
