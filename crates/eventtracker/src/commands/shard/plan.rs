//! Which shards to move, by what the servers have.

use model::Shards;
use store::central::{Central, ShardSize};
use store::{Held, Members};

/// What each server has of each of its shards.
pub(super) struct Sizes {
    pub(super) servers: Vec<OfServer>,
}

/// One server's shards.
#[derive(Debug, Clone)]
pub(super) struct OfServer {
    pub(super) name: String,
    pub(super) configured: Shards,
    pub(super) held: Held,
    /// Of the shards that are whole there.
    pub(super) sizes: Vec<ShardSize>,
}

impl OfServer {
    fn bytes(&self) -> u64 {
        self.sizes.iter().map(bytes).sum()
    }
}

fn bytes(size: &ShardSize) -> u64 {
    size.bytes + size.packed_bytes
}

impl Sizes {
    /// Asks each server.
    ///
    /// # Errors
    /// A server that refuses or does not answer.
    pub(super) async fn read(members: &Members) -> anyhow::Result<Self> {
        let mut servers = Vec::new();
        for member in members.iter() {
            let held = store::setup::Centre::new(member.clone()).held().await?;
            let status = Central::new(&Members::from(member.clone()))?.status().await?;
            servers.push(OfServer {
                name: member.name().to_owned(),
                configured: member.shards,
                held,
                sizes: status.shards,
            });
        }
        Ok(Self { servers })
    }

    /// The last shards of a server, with about half of its bytes.
    ///
    /// # Errors
    /// A server with fewer than two shards.
    pub(super) fn half_of(&self, name: &str) -> anyhow::Result<Shards> {
        let server = self.servers.iter().find(|server| server.name == name);
        let sizes = server.map_or(&[][..], |server| &server.sizes);
        anyhow::ensure!(sizes.len() > 1, "{name} has no two shards of which one could go");
        let all: u64 = sizes.iter().map(bytes).sum();
        let mut half = Shards::NONE;
        let mut gone = 0;
        for size in sizes.iter().skip(1).rev() {
            // Whichever is nearer to the half, with this one or without.
            if !half.is_empty() && 2 * gone + bytes(size) > all {
                break;
            }
            half = half.and(size.shard.into());
            gone += bytes(size);
        }
        Ok(half)
    }

    /// The moves after which no other one would bring the fullest and the emptiest server nearer to each other, each with the server that gets
    /// the shards.
    pub(super) fn balanced(&self) -> Vec<(Shards, String)> {
        let mut servers = self.servers.clone();
        let mut moves = Vec::<(Shards, String)>::new();
        while let Some((from, to)) = fullest_and_emptiest(&servers) {
            let gap = servers[from].bytes() - servers[to].bytes();
            // The largest that is at most half of the gap lessens it most.
            let fits = |size: &&ShardSize| bytes(size) > 0 && bytes(size) <= gap / 2;
            let fitting = servers[from].sizes.iter().filter(fits);
            let Some(best) = fitting.max_by_key(|size| bytes(size)).copied() else {
                break;
            };
            servers[from].sizes.retain(|size| size.shard != best.shard);
            servers[to].sizes.push(best);
            let name = servers[to].name.clone();
            match moves.iter_mut().find(|(_, to)| *to == name) {
                Some((shards, _)) => *shards = shards.and(best.shard.into()),
                None => moves.push((best.shard.into(), name)),
            }
        }
        moves
    }
}

/// The places of two different servers.
fn fullest_and_emptiest(servers: &[OfServer]) -> Option<(usize, usize)> {
    let by_bytes = |at: &usize| servers[*at].bytes();
    let from = (0..servers.len()).max_by_key(by_bytes)?;
    let to = (0..servers.len()).filter(|&at| at != from).min_by_key(by_bytes)?;
    Some((from, to))
}

#[cfg(test)]
mod tests {
    use model::Shard;

    use super::*;

    fn sizes(servers: &[&[(usize, u64)]]) -> Sizes {
        let shard = |&(number, bytes): &(usize, u64)| ShardSize {
            shard: Shard::all().nth(number).unwrap(),
            rows: 0,
            bytes,
            packed_days: 0,
            packed_bytes: 0,
        };
        let server = |(n, shards): (usize, &&[(usize, u64)])| OfServer {
            name: format!("c{}", n + 1),
            configured: Shards::NONE,
            held: Held {
                applied: Shards::NONE,
                whole: Shards::NONE,
            },
            sizes: shards.iter().map(shard).collect(),
        };
        Sizes {
            servers: servers.iter().enumerate().map(server).collect(),
        }
    }

    #[test]
    fn a_half_is_by_bytes() {
        let half = |shards: &[(usize, u64)]| sizes(&[shards]).half_of("c1").map(|half| half.to_string());
        assert_eq!(half(&[(0, 1), (1, 1), (2, 1), (3, 1)]).unwrap(), "2-3");
        assert_eq!(half(&[(0, 1), (1, 1), (2, 1), (3, 9)]).unwrap(), "3");
        assert_eq!(half(&[(0, 9), (1, 1), (2, 1), (3, 1)]).unwrap(), "1-3");
        assert!(half(&[(0, 9)]).is_err());
    }

    #[test]
    fn a_balance_moves_what_makes_servers_alike() {
        let plan = |servers: &[&[(usize, u64)]]| {
            let moves = sizes(servers).balanced().into_iter();
            moves
                .map(|(shards, to)| format!("{shards} to {to}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(plan(&[&[(0, 5), (1, 5), (2, 5), (3, 5)], &[]]), ["2-3 to c2"]);
        assert!(plan(&[&[(0, 5), (1, 5)], &[(2, 6), (3, 5)]]).is_empty());
        assert_eq!(plan(&[&[(0, 10), (1, 2)], &[(2, 4)], &[]]).len(), 1);
        assert!(plan(&[&[(0, 0)], &[]]).is_empty());
    }
}
