//! The answer to `GET /v1/status`, as the api writes it and programs read it.

use gate::Token;
use model::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::clients::ClientUse;

/// The whole document. Instants are unix seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// The centre that all of this is of.
    #[serde(default)]
    pub centre: String,
    /// All centres, in the order in which they are preferred.
    #[serde(default)]
    pub centres: Vec<CentreStatus>,
    /// Until when no region's counts are missing; null where that is not known.
    pub complete_until: Option<f64>,
    /// The servers of that centre, where it has several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<ServerStatus>,
    /// By name.
    pub regions: Vec<RegionStatus>,
    /// By number.
    pub shards: Vec<Shard>,
    /// What the keeper says is wrong.
    #[serde(default)]
    pub alarms: Vec<Alarm>,
    /// A backup of the centre that is older cannot be attached to the regions' binlogs any more.
    pub oldest_backup: Option<f64>,
    /// Start of the first day that retention has not dropped; null where it never dropped any.
    pub kept_since: Option<i64>,
    /// What clients with tokens sent lately, by name; of a token with prefixes its own alone.
    #[serde(default)]
    pub clients: Vec<ClientUse>,
    /// The token that this was asked with; null without one.
    #[serde(default)]
    pub token: Option<ShownToken>,
}

/// A token, by what it allows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Token")]
pub struct ShownToken {
    /// Its name.
    pub name: String,
    /// `write`, `read`, `admin`.
    pub scopes: Vec<String>,
    /// The beginnings of the names that it may count and read; null for all names.
    pub prefixes: Option<Vec<String>>,
    /// From when on it is refused; null where it is not.
    pub expires: Option<f64>,
}

impl From<&Token> for ShownToken {
    fn from(token: &Token) -> Self {
        Self {
            name: token.name.to_string(),
            scopes: token.scopes.iter().map(ToString::to_string).collect(),
            prefixes: token.view.prefixes().map(<[String]>::to_vec),
            expires: token.expires.map(Timestamp::unix_s),
        }
    }
}

/// One centre, as the api last saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Centre")]
pub struct CentreStatus {
    /// Its name in the configuration.
    pub name: String,
    /// Whether its database answers; null before it was first asked.
    pub answers: Option<bool>,
    /// Until when its counts were complete when it was last asked.
    pub complete_until: Option<f64>,
}

/// One of the servers that a centre consists of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Server")]
pub struct ServerStatus {
    /// Its name in the configuration.
    pub name: String,
    /// The shards that it has, such as `0-15`.
    pub shards: String,
    /// Until when its counts are complete; null where that is not known.
    pub complete_until: Option<f64>,
    /// Why it does not answer; null where it does.
    pub trouble: Option<String>,
}

/// Something that the keeper says is wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Alarm {
    /// The region that it is about; empty for the centre itself.
    pub region: String,
    /// One word, the same for the same kind of trouble.
    pub kind: String,
    /// What is wrong, and what helps.
    pub sentence: String,
    /// Since when it stands.
    pub since: f64,
}

/// One region, as far as the centre knows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Region")]
pub struct RegionStatus {
    /// Its name.
    pub region: String,
    /// Null where no word of the queue has reached the centre yet.
    pub queue: Option<Queue>,
    /// Null where the centre does not replicate from this region (any more).
    pub replication: Option<Replication>,
    /// How old the region's last word at the centre is: counts that are younger may still be on their way.
    pub lag_s: Option<f64>,
    /// How long the worker that spoke last holds counts before it writes them: longer the more names count, so that a row takes up more of
    /// them.
    pub hold_s: Option<f64>,
    /// Until when the region is complete, in unix seconds by the centre's clock.
    pub clock: Option<f64>,
    /// What keeps the clock from following the present.
    pub held_back: Option<String>,
    /// Seconds that its database's clock is ahead of the centre's; null where they were not compared lately.
    pub clock_ahead_s: Option<f64>,
}

/// A region's queue, as its worker last told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Queue {
    /// Jobs that wait for a worker.
    pub ready: u64,
    /// Jobs that a worker holds.
    pub reserved: u64,
    /// Jobs that wait for their time; collectors put none.
    pub delayed: u64,
    /// Jobs that could not be counted.
    pub buried: u64,
    /// Seconds that the job next in line has waited; null where none does.
    pub oldest_job_age_s: Option<u64>,
    /// Seconds since the region wrote these figures.
    pub age_s: f64,
}

/// Replication from a region to the centre.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Replication {
    /// Whether both threads run.
    pub running: bool,
    /// The state of the thread that fetches the binlog, as MariaDB has it.
    pub io: String,
    /// The state of the thread that applies it.
    pub sql: String,
    /// The last error of either.
    pub error: Option<String>,
}

/// What one shard holds, as InnoDB estimates it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shard {
    /// Its number.
    #[schemars(range(max = 31))]
    pub shard: u8,
    /// Minutes that are not packed.
    pub rows: u64,
    /// Bytes of their pages.
    pub bytes: u64,
    /// Days of a name that are packed.
    #[serde(default)]
    pub packed_days: u64,
    /// Bytes of their pages.
    #[serde(default)]
    pub packed_bytes: u64,
}
