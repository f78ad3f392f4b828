//! The roles of our own program: their configuration files and command lines.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Result};
use store::{Account, Password};
use toml::{Table, Value};

use crate::Options;
use crate::accounts::Accounts;
use crate::authority::Authority;
use crate::centre::{CENTRAL, Centre, CentreServer};
use crate::description::Database;
use crate::layout::{Layout, RegionLayout};
use crate::mariadb::MariaDb;
use crate::tokens;

/// Writes one `<region>.toml` for each region and one `<centre>.toml` for each centre, with the options' overrides merged in.
pub(crate) fn write_configs(layout: &Layout, accounts: &Accounts, options: &Options) -> Result<()> {
    for region in &layout.regions {
        let mut config = region_config(region, accounts)?;
        if options.tokens {
            merge(&mut config, &tokens_file("collector", layout)?);
        }
        if let Some(authority) = &layout.authority {
            merge(&mut config, &encrypted("collector", "regional", authority)?);
        }
        merge(&mut config, &options.region_overrides);
        write(&layout.region_config(region), &config)?;
    }
    for centre in layout.centres() {
        let mut config = central_config(layout, centre, accounts)?;
        if options.tokens {
            merge(&mut config, &tokens_file("api", layout)?);
        }
        if let Some(authority) = &layout.authority {
            merge(&mut config, &encrypted("api", "central", authority)?);
        }
        merge(&mut config, &options.central_overrides);
        if centre.name != CENTRAL {
            // The one api has the preferred centre's file, and reaches this centre by its `[[other_centre]]`.
            config.remove("api");
        }
        write(&centre.config, &config)?;
    }
    Ok(())
}

pub(crate) fn collector_arguments(layout: &Layout, region: &RegionLayout, n: usize) -> Vec<OsString> {
    arguments(
        "collector",
        &layout.region_config(region),
        region.collector_port(n),
    )
}

pub(crate) fn worker_arguments(layout: &Layout, region: &RegionLayout, n: usize) -> Vec<OsString> {
    let mut arguments = arguments("worker", &layout.region_config(region), region.worker_port(n));
    arguments.extend(["--name".into(), format!("worker-{}", n + 1).into()]);
    arguments
}

pub(crate) fn api_arguments(layout: &Layout) -> Vec<OsString> {
    let config = layout.central.config.clone();
    vec!["api".into(), "--config".into(), config.into()]
}

pub(crate) fn keeper_arguments(centre: &Centre) -> Vec<OsString> {
    vec!["keeper".into(), "--config".into(), centre.config.clone().into()]
}

/// Host and port of a server or role that listens on `port`.
pub(crate) fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn arguments(role: &str, config: &Path, port: u16) -> Vec<OsString> {
    vec![
        role.into(),
        "--config".into(),
        config.into(),
        "--listen".into(),
        address(port).into(),
    ]
}

fn region_config(region: &RegionLayout, accounts: &Accounts) -> Result<Table> {
    Ok(table([
        ("region", table([("name", region.name.as_str().into())]).into()),
        (
            "queue",
            table([("address", address(region.beanstalkd_port()).into())]).into(),
        ),
        (
            "regional",
            server(&MariaDb::of_region(region).database(0), &accounts.worker)?,
        ),
        ("replication", account(&accounts.replication)?.into()),
        ("housekeeping", account(&accounts.housekeeping)?.into()),
        (
            "collector",
            table([("listen", address(region.collector_port(0)).into())]).into(),
        ),
        (
            "worker",
            table([
                ("name", "worker-1".into()),
                ("listen", address(region.worker_port(0)).into()),
                (
                    "disks",
                    Value::Array(vec![path(&region.queue_dir())?, path(&region.dir)?]),
                ),
            ])
            .into(),
        ),
    ]))
}

fn central_config(layout: &Layout, centre: &Centre, accounts: &Accounts) -> Result<Table> {
    let others = layout.centres().filter(|other| other.name != centre.name);
    let ca = layout.ca().as_deref().map(path).transpose()?;
    let with_ca = |mut place: Table| -> Value {
        place.extend(ca.clone().map(|ca| ("tls_ca".to_owned(), ca)));
        place.into()
    };
    let others = others.map(|other| {
        let address = |port: u16| {
            [
                ("host".to_owned(), "127.0.0.1".into()),
                ("port".to_owned(), i64::from(port).into()),
            ]
        };
        let mut place = table([("name", other.name.into())]);
        if other.is_several() {
            let servers = other.servers.iter().map(|server| {
                let mut one = table([
                    ("name", server.name.as_str().into()),
                    ("shards", server.shards.to_string().into()),
                ]);
                one.extend(address(server.port));
                Value::from(one)
            });
            place.insert("server".to_owned(), Value::Array(servers.collect()));
        } else {
            place.extend(address(other.servers[0].port));
        }
        with_ca(place)
    });
    let sources = layout.attached().map(|region| {
        with_ca(table([
            ("region", region.name.as_str().into()),
            ("host", "127.0.0.1".into()),
            ("port", i64::from(region.link_port).into()),
        ]))
    });
    let database = |server: &CentreServer| MariaDb::of_centre(layout, server).database(0);
    let (central, servers) = if centre.is_several() {
        let servers = centre.servers.iter().map(|server| {
            Ok(Value::from(table([
                ("name", server.name.as_str().into()),
                ("socket", path(&database(server).socket)?),
                ("shards", server.shards.to_string().into()),
            ])))
        });
        (account(&accounts.api)?.into(), servers.collect::<Result<_>>()?)
    } else {
        (server(&database(&centre.servers[0]), &accounts.api)?, Vec::new())
    };
    Ok(table([
        ("central", central),
        ("central_server", Value::Array(servers)),
        ("other_centre", Value::Array(others.collect())),
        ("analyst", account(&accounts.analyst)?.into()),
        ("replication", account(&accounts.replication)?.into()),
        ("source", Value::Array(sources.collect())),
        ("housekeeping", account(&accounts.housekeeping)?.into()),
        ("api", table([("listen", address(layout.port).into())]).into()),
        (
            "keeper",
            table([("listen", address(centre.keeper_port).into())]).into(),
        ),
    ]))
}

/// The setting of a role's file of tokens.
fn tokens_file(role: &str, layout: &Layout) -> Result<Table> {
    let file = path(&tokens::path(&layout.dir))?;
    Ok(table([(role, table([("tokens_file", file)]).into())]))
}

/// The settings with which a role shows a certificate, and its database's is looked at.
fn encrypted(role: &str, database: &str, authority: &Authority) -> Result<Table> {
    let tls = table([
        ("certificate", path(&authority.certificate())?),
        ("key", path(&authority.key())?),
    ]);
    Ok(table([
        (role, table([("tls", tls.into())]).into()),
        (database, table([("tls_ca", path(&authority.ca())?)]).into()),
    ]))
}

fn server(database: &Database, login: &Account) -> Result<Value> {
    let mut table = account(login)?;
    let socket = database
        .socket
        .to_str()
        .context("the data directory's path is not UTF-8")?;
    table.insert("socket".to_owned(), socket.into());
    table.insert("host".to_owned(), "127.0.0.1".into());
    table.insert("port".to_owned(), i64::from(database.port).into());
    Ok(table.into())
}

fn path(path: &Path) -> Result<Value> {
    Ok(path
        .to_str()
        .context("the data directory's path is not UTF-8")?
        .into())
}

fn account(account: &Account) -> Result<Table> {
    let (key, value) = match &account.password {
        Password::Env(name) => ("env", name.as_str()),
        Password::File(path) => (
            "file",
            path.to_str().context("the data directory's path is not UTF-8")?,
        ),
    };
    Ok(table([
        ("user", account.user.as_str().into()),
        ("password", table([(key, value.into())]).into()),
    ]))
}

fn table<const N: usize>(entries: [(&str, Value); N]) -> Table {
    entries
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

fn merge(into: &mut Table, overrides: &Table) {
    for (key, value) in overrides {
        match (into.get_mut(key), value) {
            (Some(Value::Table(inner)), Value::Table(inner_overrides)) => merge(inner, inner_overrides),
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

fn write(path: &Path, config: &Table) -> Result<()> {
    let text = format!(
        "# Written by the playground at each start.\n{}",
        toml::to_string(config)?
    );
    std::fs::write(path, text).with_context(|| format!("failed to write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overrides_reach_into_tables() {
        let mut config: Table = "[worker]\nname = 'a'\n[queue]\naddress = 'b'".parse().unwrap();
        merge(
            &mut config,
            &"[worker]\nflush_age_ms = 50\n[queue]\naddress = 'c'\n[new]\nx = 1"
                .parse()
                .unwrap(),
        );
        let expected: Table = "[worker]\nname = 'a'\nflush_age_ms = 50\n[queue]\naddress = 'c'\n[new]\nx = 1"
            .parse()
            .unwrap();
        assert_eq!(config, expected);
    }
}
