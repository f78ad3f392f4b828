//! The servers that a centre consists of: each has some of the shards, and all together have each of them once.

use std::path::PathBuf;

use model::Shards;
use serde::Deserialize;

use crate::account::checked_word;
use crate::{Account, Error, OtherCentre, Server};

/// Most bytes of a central server's name.
const NAME_BYTES_MAX: usize = 32;

/// A section `[[central_server]]`: one of several servers of a centre. The account is that of `[central]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CentralServer {
    /// The name that answers, alarms and commands call it by.
    pub name: String,
    /// Path of the Unix socket, instead of host and port.
    pub socket: Option<PathBuf>,
    /// Host name or address.
    pub host: Option<String>,
    /// TCP port; 3306 by default.
    pub port: Option<u16>,
    /// The shards that it has.
    pub shards: Shards,
    /// The authorities' file, as in [`Server::tls_ca`]; that of the centre where not given.
    pub tls_ca: Option<PathBuf>,
}

/// One of the servers of a centre, under some account.
#[derive(Debug, Clone)]
pub struct Member {
    /// Address and account. It has a name where the centre has several.
    pub server: Server,
    /// The shards that it has.
    pub shards: Shards,
}

/// All servers of a centre, under one account. The first answers what any could.
#[derive(Debug, Clone)]
pub struct Members(Vec<Member>);

impl Members {
    /// A centre that is one server with all shards.
    #[must_use]
    pub fn alone(server: Server) -> Self {
        let shards = Shards::ALL;
        Self(vec![Member { server, shards }])
    }

    /// The centre of `servers`, each under the account of `centre`; `centre` alone where there are none.
    ///
    /// # Errors
    /// `Members` where the servers are not told apart, or do not have each shard once, with a sentence; `Word` for a name with other
    /// characters.
    pub fn of(centre: &Server, servers: &[CentralServer]) -> Result<Self, Error> {
        if servers.is_empty() {
            return Ok(Self::alone(centre.clone()));
        }
        let refused = |sentence: String| Err(Error::Members { sentence });
        let mut members = Vec::<Member>::new();
        for section in servers {
            let name = checked_word("central server's name", &section.name, NAME_BYTES_MAX)?;
            let server = section.server(centre)?;
            let shards = section.shards;
            for other in &members {
                let its = other.name();
                let common = shards.common(other.shards);
                if its == name {
                    return refused(format!("two central servers are called '{name}'"));
                }
                if other.server.is_at_same_place(&server) {
                    return refused(format!("central servers {its} and {name} have the same address"));
                }
                if !common.is_empty() {
                    return refused(format!(
                        "central servers {its} and {name} both have shards {common}"
                    ));
                }
            }
            members.push(Member { server, shards });
        }
        let all = members
            .iter()
            .map(|member| member.shards)
            .fold(Shards::NONE, Shards::and);
        let missing = Shards::ALL.without(all);
        if !missing.is_empty() {
            return refused(format!("no central server has shards {missing}"));
        }
        Ok(Self(members))
    }

    /// The same servers under another account.
    #[must_use]
    pub fn with_user(&self, user: &str, password: Option<&crate::Password>) -> Self {
        let under = |member: &Member| Member {
            server: member.server.with_user(user, password.cloned()),
            shards: member.shards,
        };
        Self(self.0.iter().map(under).collect())
    }

    /// The servers, in the order of the configuration.
    pub fn iter(&self) -> std::slice::Iter<'_, Member> {
        self.0.iter()
    }

    /// The first server.
    #[must_use]
    pub fn first(&self) -> &Member {
        &self.0[0]
    }

    /// Whether there is more than one.
    #[must_use]
    pub fn is_several(&self) -> bool {
        self.0.len() > 1
    }

    /// The servers that the same regions feed beside the one called `own`, each as sentences name it: the others of this centre, and those of
    /// other centres, under `account`.
    ///
    /// # Errors
    /// As of [`OtherCentre::members`].
    pub fn beside(
        &self,
        own: &str,
        others: &[OtherCentre],
        account: &Account,
    ) -> Result<Vec<(String, Server)>, Error> {
        let siblings = self.with_user(&account.user, Some(&account.password));
        let siblings = siblings.0.into_iter().filter(|member| member.name() != own);
        let named = |member: Member| (format!("central server {}", member.name()), member.server);
        let mut beside: Vec<_> = siblings.map(named).collect();
        for other in others {
            for member in other.members(account)?.0 {
                let name = match member.name() {
                    "" => format!("centre {}", other.name),
                    server => format!("server {server} of centre {}", other.name),
                };
                beside.push((name, member.server));
            }
        }
        Ok(beside)
    }

    /// The server of this name.
    ///
    /// # Errors
    /// `Members` where there is none, with the names that there are.
    pub fn named(&self, name: &str) -> Result<&Member, Error> {
        let found = self.iter().find(|member| member.name() == name);
        found.ok_or_else(|| {
            let names: Vec<&str> = self.iter().map(Member::name).collect();
            let sentence = format!(
                "no central server is called '{name}': there are {}",
                names.join(", ")
            );
            Error::Members { sentence }
        })
    }
}

/// One server by itself.
impl From<Member> for Members {
    fn from(member: Member) -> Self {
        Self(vec![member])
    }
}

/// A server with all shards.
impl From<Server> for Member {
    fn from(server: Server) -> Self {
        let shards = Shards::ALL;
        Self { server, shards }
    }
}

impl Member {
    /// Its name; empty where it is the only one.
    #[must_use]
    pub fn name(&self) -> &str {
        self.server.name.as_deref().unwrap_or_default()
    }
}

impl CentralServer {
    /// The server under the account of `centre`.
    ///
    /// # Errors
    /// `Members` where it has no address, or two.
    fn server(&self, centre: &Server) -> Result<Server, Error> {
        let Self { name, socket, .. } = self;
        let wrong = |what: &str| Error::Members {
            sentence: format!("central server {name} has {what}: give it host and port, or a socket"),
        };
        if socket.is_some() == self.host.is_some() {
            return Err(wrong(if socket.is_some() {
                "two addresses"
            } else {
                "no address"
            }));
        }
        if socket.is_some() && self.port.is_some() {
            return Err(wrong("a port beside its socket"));
        }
        let elsewhere = Server {
            name: Some(name.clone()),
            socket: socket.clone(),
            tls_ca: self.tls_ca.clone().or_else(|| centre.tls_ca.clone()),
            ..centre.clone()
        };
        Ok(match &self.host {
            Some(host) => Server {
                host: host.clone(),
                port: self.port.unwrap_or(crate::server::DEFAULT_PORT),
                ..elsewhere
            },
            None => elsewhere,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(servers: &[(&str, &str, &str)]) -> Result<Members, String> {
        let account = Account {
            user: "api".to_owned(),
            password: crate::Password::Env("UNUSED".to_owned()),
        };
        let centre = Server::at("localhost", 1, None, &account);
        let section = |&(name, host, shards): &(&str, &str, &str)| CentralServer {
            name: name.to_owned(),
            socket: None,
            host: Some(host.to_owned()).filter(|host| !host.is_empty()),
            port: None,
            shards: shards.parse().unwrap(),
            tls_ca: None,
        };
        let sections: Vec<_> = servers.iter().map(section).collect();
        Members::of(&centre, &sections).map_err(|error| error.to_string())
    }

    #[test]
    fn each_shard_is_at_one_server() {
        assert!(!of(&[]).unwrap().is_several());
        let two = of(&[("c1", "a", "0-15"), ("c2", "b", "16-31")]).unwrap();
        let names: Vec<_> = two.iter().map(|member| member.server.to_string()).collect();
        assert_eq!(names, ["c1 (MariaDB at a:3306)", "c2 (MariaDB at b:3306)"]);
        for (servers, refusal) in [
            (
                [("c1", "a", "0-15"), ("c1", "b", "16-31")],
                "two central servers are called 'c1'",
            ),
            (
                [("c1", "a", "0-15"), ("c2", "a", "16-31")],
                "c1 and c2 have the same address",
            ),
            (
                [("c1", "a", "0-15"), ("c2", "b", "14-31")],
                "c1 and c2 both have shards 14-15",
            ),
            (
                [("c1", "a", "0-14"), ("c2", "b", "16-31")],
                "no central server has shards 15",
            ),
            ([("c1", "a", "0-15"), ("c2", "", "16-31")], "c2 has no address"),
            (
                [("c1", "a", "0-15"), ("c'2", "b", "16-31")],
                "name 'c'2' may only have",
            ),
        ] {
            let error = of(&servers).unwrap_err();
            assert!(error.contains(refusal), "{error}");
        }
        let refusal = two.named("c3").unwrap_err().to_string();
        assert!(
            refusal.ends_with("no central server is called 'c3': there are c1, c2"),
            "{refusal}"
        );
    }
}
