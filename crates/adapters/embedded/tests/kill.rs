//! What was acknowledged is there after kill -9, and reading goes on from a stored offset.
//!
//! Starts itself as a child that appends and tells each acknowledgement; kills it in mid-work, opens the file, compares;
//! several times on the same file.
//!
//! Must stay true: the parent knows only what the child was told by the log.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use loa_contract::topics::{SettlementsTopic, Topic, TopicSpec};
use loa_embedded::{EmbeddedLog, OpenError, Options};
use loa_ports::clock::SystemClock;
use loa_ports::log::{Append, Log, Position};

const TOPIC: &TopicSpec = SettlementsTopic::SPEC;
const CHILD: &str = "append-until-killed";
const PARTITIONS: u32 = 3;
const KILLS: usize = 4;
/// Acknowledgements of one child before it is killed.
const ACKNOWLEDGED: usize = 400;
const LIMIT: Duration = Duration::from_secs(60);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    match arguments.as_slice() {
        [_, what, path] if what == CHILD => runtime.block_on(append_until_killed(Path::new(path))),
        _ => {
            let all = runtime.block_on(async { tokio::time::timeout(LIMIT, survives_kills()).await });
            all.expect("the kills take less than a minute");
        }
    }
}

async fn open(path: &Path) -> Result<EmbeddedLog, OpenError> {
    EmbeddedLog::open(path, Arc::new(SystemClock::new()), Options::default()).await
}

fn record(partition: u32, value: String) -> Append {
    Append { topic: TOPIC, partition, key: Bytes::new(), headers: Vec::new(), value: Bytes::from(value) }
}

/// The child: several producers, each telling "partition offset value" once the log has acknowledged it.
async fn append_until_killed(path: &Path) {
    let log = open(path).await.expect("the killed process has left its lock");
    let append = async |partition: u32| {
        for n in 0.. {
            let value = format!("{}-{partition}-{n}", std::process::id());
            let offsets = log.append(vec![record(partition, value.clone())]).await.expect("an append is taken");
            let mut out = std::io::stdout().lock();
            writeln!(out, "{partition} {} {value}", offsets[0]).and_then(|()| out.flush()).expect("the parent listens");
        }
    };
    tokio::join!(append(0), append(1), append(2));
}

fn start(path: &Path) -> Child {
    let this = std::env::current_exe().expect("the test knows itself");
    Command::new(this).arg(CHILD).arg(path).stdout(Stdio::piped()).spawn().expect("the child starts")
}

/// Lets a child work, kills it, and returns all that it told, to its last whole line.
fn work_and_kill(path: &Path) -> Vec<(u32, i64, String)> {
    let mut child = start(path);
    let mut told = BufReader::new(child.stdout.take().expect("the child's output is ours"));
    let mut lines = Vec::new();
    let mut line = String::new();
    while told.read_line(&mut line).expect("the child's output is text") > 0 {
        if line.ends_with('\n') {
            lines.push(parse(&line));
        }
        line.clear();
        if lines.len() == ACKNOWLEDGED {
            child.kill().expect("the child is ours to kill");
        }
    }
    let status = child.wait().expect("the child ends");
    assert!(!status.success() && lines.len() >= ACKNOWLEDGED, "the child ended by itself: {status}");
    lines
}

fn parse(line: &str) -> (u32, i64, String) {
    let mut words = line.split_whitespace();
    let mut word = || words.next().expect("three words");
    (word().parse().expect("a partition"), word().parse().expect("an offset"), word().to_owned())
}

async fn survives_kills() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("log.db");
    let mut acknowledged: Vec<(u32, i64, String)> = Vec::new();
    let mut stored = vec![0; 3];
    for _ in 0..KILLS {
        acknowledged.extend(work_and_kill(&path));
        let log = open(&path).await.expect("the file opens after a kill");
        let all = contents(&log, &[0; 3]).await;
        for (partition, offset, value) in &acknowledged {
            assert_eq!(at(&all, *partition, *offset), Some(value.as_str()), "an acknowledged record is not there");
        }
        // Reading on from where a reader had stored its position gives exactly the rest.
        let rest = contents(&log, &stored).await;
        for ((all, rest), stored) in all.iter().zip(rest).zip(&mut stored) {
            assert_eq!(rest, all[*stored..]);
            *stored = (*stored + all.len()) / 2;
        }
        let end = log.end(TOPIC, 0).await.expect("an end is told");
        let more = log.append(vec![record(0, "after the kill".to_owned())]).await.expect("an append is taken");
        assert_eq!(more, [end], "offsets do not go on");
        log.close().await;
    }
}

fn at(all: &[Vec<String>], partition: u32, offset: i64) -> Option<&str> {
    let partition = all.get(usize::try_from(partition).ok()?)?;
    partition.get(usize::try_from(offset).ok()?).map(String::as_str)
}

/// The values of the partitions from given offsets to their ends, without a hole.
async fn contents(log: &EmbeddedLog, from: &[usize]) -> Vec<Vec<String>> {
    let ends = log.ends(TOPIC).await.expect("ends are told");
    let first = |partition: u32| i64::try_from(from[usize::try_from(partition).expect("few")]).expect("few");
    let positions = (0..PARTITIONS).map(|partition| Position { partition, offset: first(partition) }).collect();
    let mut reader = log.reader(TOPIC, positions).await.expect("a reader begins");
    let mut all = vec![Vec::new(); from.len()];
    let at_the_end = |reader: &dyn loa_ports::log::Reader| {
        (0..PARTITIONS).zip(&ends).all(|(partition, end)| reader.position(partition) == Some(*end))
    };
    while !at_the_end(reader.as_ref()) {
        for record in reader.next(1_000).await.expect("a read succeeds") {
            let values = &mut all[usize::try_from(record.partition).expect("few")];
            let expected = first(record.partition) + i64::try_from(values.len()).expect("few");
            assert_eq!(record.offset, expected, "partition {} has a hole", record.partition);
            values.push(String::from_utf8(record.value.to_vec()).expect("the child appends text"));
        }
    }
    all
}
