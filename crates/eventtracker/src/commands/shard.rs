//! `eventtracker shard list|join|move|split|balance`: which of a centre's servers has which shards, while regions count on.

mod join;
mod list;
mod moving;
mod plan;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use model::Shards;
use store::{Member, Members};

use self::moving::Move;
use self::plan::Sizes;
use super::schema::Admin;
use crate::config::Config;

#[derive(Debug, Subcommand)]
pub(crate) enum ShardCommand {
    /// Show which server has which shards, and how much of them; exit code 1 if that is not what the file says
    List(Centre),
    /// Make a further server one of a centre that counts already: with names, clocks and sums, and without shards yet
    Join {
        /// The server, which the file has with shards = "" and on which 'schema apply' was run
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        files: Files,
    },
    /// Move shards to another server while regions count on
    ///
    /// The server that has them goes on answering and applying until the other one has everything of them and is compared. Run it again
    /// if it was interrupted.
    Move {
        /// Numbers and ranges, such as 16-23
        #[arg(value_name = "SHARDS")]
        shards: Shards,
        /// The server that is to have them
        #[arg(long, value_name = "NAME")]
        to: String,
        #[command(flatten)]
        files: Files,
    },
    /// Move about half of what a server has to another one
    Split {
        /// The server that is to have less
        #[arg(value_name = "NAME")]
        from: String,
        /// The server that is to have the rest
        #[arg(long, value_name = "NAME")]
        to: String,
        #[command(flatten)]
        files: Files,
    },
    /// Move shards until each server has about as much as any other
    Balance {
        #[command(flatten)]
        files: Files,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Centre {
    /// The centre's configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    admin: Admin,
}

/// The files that a move changes.
#[derive(Debug, Args)]
pub(crate) struct Files {
    #[command(flatten)]
    centre: Centre,
    /// The option file of a server's MariaDB, as NAME=FILE; one for each server that joins, or gives or gets shards
    #[arg(long = "mariadb-options", value_name = "NAME=FILE", value_parser = named_file, required = true)]
    options: Vec<(String, PathBuf)>,
}

/// Name and file of `NAME=FILE`.
fn named_file(text: &str) -> Result<(String, PathBuf), String> {
    let (name, file) = text
        .split_once('=')
        .ok_or("write it as NAME=FILE, such as c1=/etc/mysql/60.cnf")?;
    Ok((name.to_owned(), file.into()))
}

impl ShardCommand {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(centre) => return list::run(&centre.members()?).await,
            Self::Join { name, files } => join::run(&files, &name).await?,
            Self::Move { shards, to, files } => {
                ensure!(!shards.is_empty(), "no shard is named, such as 16-23");
                move_all(&files, &[(shards, to)]).await?;
            }
            Self::Split { from, to, files } => {
                let members = files.centre.members()?;
                let sizes = Sizes::read(&members).await?;
                let half = sizes.half_of(members.named(&from)?.name())?;
                move_all(&files, &[(half, to)]).await?;
            }
            Self::Balance { files } => {
                let plan = Sizes::read(&files.centre.members()?).await?.balanced();
                if plan.is_empty() {
                    println!("no shard need move: each server has about as much as any other");
                }
                move_all(&files, &plan).await?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Centre {
    /// The servers as their administrator reaches them.
    fn members(&self) -> anyhow::Result<Members> {
        let members = Config::read(&self.config)?.members()?;
        ensure!(
            members.is_several(),
            "the centre of {} is one server: it takes a second [[central_server]], with shards = \"\", to move shards to",
            self.config.display()
        );
        Ok(self.admin.of_centre(&members))
    }
}

impl Files {
    fn options_of(&self, member: &Member) -> anyhow::Result<&PathBuf> {
        let named = self.options.iter().find(|(name, _)| name == member.name());
        let (_, file) = named.with_context(|| {
            format!(
                "the option file of {0}'s MariaDB has to be changed, too: name it with --mariadb-options {0}=FILE",
                member.name()
            )
        })?;
        Ok(file)
    }
}

/// Moves shards to the server that is named for them, from each that has some of them.
async fn move_all(files: &Files, plan: &[(Shards, String)]) -> anyhow::Result<()> {
    for (shards, to) in plan {
        let members = files.centre.members()?;
        let receiver = members.named(to)?;
        let mut left = *shards;
        for giver in members.iter().filter(|member| member.name() != to) {
            // By the file, which an interrupted move has not changed yet: it is completed then.
            let own = left.common(giver.shards);
            if !own.is_empty() {
                left = left.without(own);
                Move::prepare(files, giver, receiver, own).await?.run().await?;
            }
        }
        if !left.is_empty() {
            println!("shards {left} are at {to} already");
        }
    }
    Ok(())
}
