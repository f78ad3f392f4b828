//! The frame of a snapshot: the questions before those for counts, and after them.

use model::{Day, EventName, Shards};
use mysql_async::{QueryResult, Row, TextProtocol};

use super::names::{self, Name};
use super::past::{self, Past};
use super::position::{self, Position};
use crate::clock::{self, Claims, Sources};
use crate::{Held, held};

/// The questions before those for counts.
#[derive(Default)]
pub(super) struct Opening {
    begins: bool,
    names: Option<String>,
    asks: Asks,
}

/// What is asked for in an [`Opening`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asks {
    /// The position.
    pub(super) position: bool,
    /// Which shards the server has.
    pub(super) held: bool,
    /// The regions.
    pub(super) sources: bool,
}

/// The answers to an [`Opening`].
#[derive(Default)]
pub(super) struct Opened {
    pub(super) names: Vec<Name>,
    pub(super) position: Option<Position>,
    pub(super) held: Option<Held>,
    pub(super) sources: Option<Sources>,
}

impl Opening {
    /// The beginning of a snapshot.
    pub(super) fn begin(names: &[EventName<'_>], asks: Asks) -> Self {
        Self {
            begins: true,
            names: names::question(names),
            asks,
        }
    }

    /// What is asked for within a snapshot.
    pub(super) fn within(asks: Asks) -> Self {
        Self {
            asks,
            ..Self::default()
        }
    }

    pub(super) fn questions(&self) -> impl Iterator<Item = String> {
        let begin = self.begins.then(|| names::BEGIN.to_owned());
        let position = self.asks.position.then(|| position::SQL.to_owned());
        let held = self.asks.held.then(|| held::HELD.to_owned());
        let sources = self.asks.sources.then(|| clock::SHOW_SOURCES.to_owned());
        [begin, self.names.clone(), position, held, sources]
            .into_iter()
            .flatten()
    }

    /// Reads the answers, in the order of the questions, of a server that applies these shards, unless it says which.
    pub(super) async fn collect(
        &self,
        answers: &mut QueryResult<'_, '_, TextProtocol>,
        applied: Shards,
    ) -> Result<Opened, mysql_async::Error> {
        let mut opened = Opened::default();
        if self.begins {
            answers.collect::<Row>().await?;
        }
        if self.names.is_some() {
            opened.names = names::collect(answers).await?;
        }
        if self.asks.position {
            opened.position = Some(position::collect(answers).await?);
        }
        if self.asks.held {
            opened.held = held::collect(answers).await?;
        }
        if self.asks.sources {
            let applied = opened.held.map_or(applied, |held| held.applied);
            opened.sources = Some(clock::sources(answers, applied).await?);
        }
        Ok(opened)
    }
}

/// The questions after those for counts: from when to when they are known, and the end of the snapshot.
///
/// Claims are read in the snapshot of the counts, or are known from an earlier one: those from after it would promise counts that it does
/// not have. The note on what was dropped is read after the snapshot: a partition dropped meanwhile is missing in the snapshot, too, and was
/// noted before it went.
#[derive(Clone, Copy)]
pub(super) struct Ending {
    /// And with them the past.
    pub(super) with_claims: bool,
}

/// The answers to an [`Ending`].
#[derive(Default)]
pub(super) struct Ended {
    pub(super) claims: Option<Claims>,
    pub(super) past: Option<Past>,
    /// The first day that retention has not dropped.
    pub(super) kept_since: Option<Day>,
}

impl Ending {
    pub(super) fn questions(self) -> impl Iterator<Item = String> {
        let claims = self.with_claims.then_some([clock::CLAIMS, past::SQL]);
        let end = ["COMMIT", clock::KEPT_SINCE];
        claims.into_iter().flatten().chain(end).map(str::to_owned)
    }

    /// Reads the answers, in the order of the questions.
    pub(super) async fn collect(
        self,
        answers: &mut QueryResult<'_, '_, TextProtocol>,
    ) -> Result<Ended, mysql_async::Error> {
        let mut ended = Ended::default();
        if self.with_claims {
            ended.claims = Some(Claims::collect(answers).await?);
            ended.past = past::collect(answers).await?;
        }
        answers.collect::<Row>().await?;
        let since: Vec<Option<i64>> = answers.collect().await?;
        ended.kept_since = since.into_iter().flatten().next().map(Day::containing);
        Ok(ended)
    }
}
