//! The way to Redis: one connection, one round trip for all questions that are due.
//!
//! Must stay true: an answer or a fault comes within [`CONNECT_LIMIT`] + [`LIFE`]; after a fault the next question goes over
//! a new connection, which finds a Redis that has moved.

use std::time::Duration;

use loa_domain::ids::AccountId;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError};

use crate::cell::{
    AWAY_AFTER, Answer, GATHERS, LEFT_MIN, LIFE, OPENS_AFTER, Question, RECOVERY_PER_S, SLOW_DOWN_EVERY,
};

/// How long connecting may take; with a question's life less than [`OPENS_AFTER`], so that everybody has asked by then.
const CONNECT_LIMIT: Duration = Duration::from_millis(200);
const SCRIPT: &str = include_str!("count.lua");

/// Why Redis does not count.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a URL of Redis.
    #[error("redis.url is not a URL like redis://user:password@host:6379")]
    Url(#[source] RedisError),
    /// Refused, cut, or an error of Redis.
    #[error("Redis cannot be used")]
    Redis(#[from] RedisError),
    /// Silence.
    #[error("Redis did not answer in {} ms", .0.as_millis())]
    Late(Duration),
}

/// Where Redis is, and a connection if there is one.
pub(crate) struct Link {
    client: Client,
    connection: Option<MultiplexedConnection>,
}

impl Link {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, connection: None }
    }

    /// Makes sure that there is a connection.
    pub(crate) async fn connect(&mut self) -> Result<(), Error> {
        if self.connection.is_none() {
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(CONNECT_LIMIT))
                .set_response_timeout(Some(LIFE));
            let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
            let connected = tokio::time::timeout(CONNECT_LIMIT, connecting).await;
            self.connection = Some(connected.map_err(|_| Error::Late(CONNECT_LIMIT))??);
        }
        Ok(())
    }

    /// The answers, in the order of the questions.
    pub(crate) async fn ask(
        &mut self,
        prefix: &str,
        questions: &[(AccountId, Question)],
    ) -> Result<Vec<Answer>, Error> {
        if questions.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipe = redis::pipe();
        for (account, question) in questions {
            add(&mut pipe, prefix, account, question);
        }
        let answers: Vec<(u32, u64, f64, u8)> = self.query(&pipe).await?;
        let answer = |(sold, wait_us, left, closed)| Answer {
            sold,
            wait: Duration::from_micros(wait_us),
            left,
            closed: closed == 1,
        };
        Ok(answers.into_iter().map(answer).collect())
    }

    /// Whether Redis answers at all.
    pub(crate) async fn ping(&mut self) -> Result<(), Error> {
        self.connect().await?;
        let mut pipe = redis::pipe();
        pipe.cmd("PING");
        self.query::<Vec<String>>(&pipe).await.map(drop)
    }

    async fn query<T: redis::FromRedisValue>(&mut self, pipe: &redis::Pipeline) -> Result<T, Error> {
        self.connect().await?;
        // Taken out: only a connection that has answered is used again.
        let Some(mut connection) = self.connection.take() else { return Err(Error::Late(CONNECT_LIMIT)) };
        let answered = tokio::time::timeout(LIFE, pipe.query_async(&mut connection)).await;
        let answers = answered.map_err(|_| Error::Late(LIFE))??;
        self.connection = Some(connection);
        Ok(answers)
    }
}

fn add(pipe: &mut redis::Pipeline, prefix: &str, account: &AccountId, question: &Question) {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    // The whole script each time: Redis knows it by its hash, and one that has restarted needs no second try.
    pipe.cmd("EVAL")
        .arg(SCRIPT)
        .arg(1)
        .arg(format!("{prefix}bucket:{account}"))
        .arg(question.rate)
        .arg(question.wanted)
        .arg(question.left)
        .arg(u8::from(question.slow_down))
        .arg(u8::from(question.was_away))
        .arg(micros(GATHERS))
        .arg(micros(OPENS_AFTER))
        .arg(micros(AWAY_AFTER))
        .arg(RECOVERY_PER_S)
        .arg(LEFT_MIN)
        .arg(micros(SLOW_DOWN_EVERY));
}
