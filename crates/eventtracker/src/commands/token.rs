//! `eventtracker token new|list|check`: the file of tokens.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};
use comfy_table::{Table, presets};
use gate::{Entry, Scope, Secret, Token as Listed, Tokens};
use model::Timestamp;

use super::series::{grouped, utc};
use crate::config::Config;

/// Bytes of a secret on standard input: more are none.
const INPUT_BYTES_MAX: u64 = 4_096;

/// Days before its end from which on a token's end is pointed out.
const ENDS_SOON_DAYS: i64 = 14;

/// The permissions of a file that this makes: its owner's, and a group's to read.
const MODE: u32 = 0o640;

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    New(New),
    /// Show the tokens of a file: names, scopes and limits, as no secret is stored
    List(File),
    Check(File),
}

/// Make a token: prints its secret, this once, and the entry for the file
#[derive(Debug, Args)]
pub(crate) struct New {
    /// Name of the client: 1 to 64 characters of A–Z a–z 0–9 _ - . : @
    #[arg(long)]
    name: String,
    /// What it may do; may be repeated
    #[arg(long = "scope", value_name = "SCOPE", required = true)]
    scopes: Vec<ScopeArgument>,
    /// Beginning of the names that it may count and read; may be repeated; all names without it
    #[arg(long = "prefix", value_name = "PREFIX")]
    prefixes: Vec<String>,
    /// Its share where there is not enough for all, beside one of weight 1
    #[arg(long)]
    weight: Option<u32>,
    /// Events a second that it may send for long
    #[arg(long, value_name = "EVENTS")]
    events_per_s: Option<u32>,
    /// Distinct names that it may count in a UTC day, at one collector
    #[arg(long, value_name = "NAMES")]
    names_max: Option<usize>,
    /// Date from which on it is refused, such as 2027-01-01, in UTC
    #[arg(long, value_name = "DATE")]
    expires: Option<toml::value::Datetime>,
    /// Origin of pages that may use it, such as <https://shop.example>; may be repeated
    #[arg(long = "origin", value_name = "ORIGIN")]
    origins: Vec<String>,
    /// Read a secret that is in use already from standard input, instead of making one
    #[arg(long)]
    keep_secret: bool,
    /// Append the entry to this file, which is made where it is missing, and print the secret alone
    #[arg(long, value_name = "FILE")]
    append: Option<PathBuf>,
}

/// Check a file of tokens, and the token in EVENTTRACKER_TOKEN if there is one
///
/// Exit code 1 for a file that a role would refuse, a token that is not in it, and one that has expired.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct File {
    /// The file of tokens
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// A configuration: the tokens_file of its [collector] or [api]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ScopeArgument {
    /// Events, and annotations of its own
    Write,
    /// Every GET of the api
    Read,
    /// Audits, and the annotations of others
    Admin,
}

impl From<ScopeArgument> for Scope {
    fn from(argument: ScopeArgument) -> Self {
        match argument {
            ScopeArgument::Write => Self::Write,
            ScopeArgument::Read => Self::Read,
            ScopeArgument::Admin => Self::Admin,
        }
    }
}

impl Token {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let now = Timestamp::from(SystemTime::now());
        match self {
            Self::New(new) => new.run().map(|()| ExitCode::SUCCESS),
            Self::List(file) => {
                let (_, tokens) = file.read()?;
                println!("{}", table(&tokens, now).trim_fmt());
                Ok(ExitCode::SUCCESS)
            }
            Self::Check(file) => file.check(now),
        }
    }
}

impl New {
    fn run(self) -> anyhow::Result<()> {
        let secret = if self.keep_secret {
            secret_of_input()?
        } else {
            Secret::generate()?
        };
        let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
        let entry = Entry {
            name: self.name,
            sha256: secret.hash().to_string(),
            scopes: self.scopes.into_iter().map(Scope::from).collect(),
            prefixes: some(self.prefixes),
            weight: self.weight,
            events_per_s: self.events_per_s,
            names_max: self.names_max,
            expires: self.expires,
            origins: some(self.origins),
        };
        let text = entry.to_toml().context("the entry cannot be written")?;
        // What a role would refuse is refused here, before anybody relies on the secret.
        Tokens::parse(&text)?;
        if let Some(path) = &self.append {
            append(path, &text)?;
        }
        if !self.keep_secret {
            println!("{}", secret.as_str());
        }
        if self.append.is_none() {
            println!("\n{text}");
            eprintln!(
                "The first line is the secret: it is shown this once, and stored nowhere. The rest goes into the file of tokens."
            );
        }
        Ok(())
    }
}

/// Appends an entry to a file of tokens, if the file can be used with it. It is written beside and put in place as a whole, so that no role
/// reads half of it; what is beside keeps a second command out meanwhile.
fn append(path: &Path, entry: &str) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(&new)
        .with_context(|| format!("cannot make {}", new.display()))?;
    let replaced = with_entry(path, entry).and_then(|text| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        keep_owner(path, &new)?;
        Ok(std::fs::rename(&new, path)?)
    });
    if replaced.is_err() {
        std::fs::remove_file(&new).with_context(|| format!("{} is left over", new.display()))?;
    }
    replaced.with_context(|| format!("cannot add to {}", path.display()))
}

/// The text of a file of tokens with one more entry. The file may be missing, or have no token yet.
fn with_entry(path: &Path, entry: &str) -> anyhow::Result<String> {
    let mut text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error.into()),
    };
    if !text.is_empty() {
        text.push_str(if text.ends_with('\n') { "\n" } else { "\n\n" });
    }
    text.push_str(entry);
    Tokens::parse(&text)?;
    Ok(text)
}

/// Gives a file the permissions, owner and group of the one that it is going to replace, if there is one.
fn keep_owner(old: &Path, new: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let Ok(metadata) = std::fs::metadata(old) else {
        return Ok(());
    };
    std::fs::set_permissions(new, metadata.permissions())?;
    std::os::unix::fs::chown(new, Some(metadata.uid()), Some(metadata.gid()))
}

fn secret_of_input() -> anyhow::Result<Secret> {
    let mut text = String::new();
    let read = std::io::stdin().take(INPUT_BYTES_MAX).read_to_string(&mut text);
    read.context("no secret can be read from standard input")?;
    Ok(Secret::new(text.trim())?)
}

impl File {
    /// The path of the file, and what it lists.
    fn read(self) -> anyhow::Result<(PathBuf, Tokens)> {
        let path = match (self.file, self.config) {
            (Some(file), _) => file,
            (None, Some(config)) => tokens_file(&config)?,
            (None, None) => bail!("name the file of tokens"),
        };
        let tokens = gate::read(&path)?;
        Ok((path, tokens))
    }

    fn check(self, now: Timestamp) -> anyhow::Result<ExitCode> {
        let (path, tokens) = self.read()?;
        println!("{}: {} tokens", path.display(), tokens.count());
        for token in tokens.iter() {
            if let Some(ends) = ends(token, now) {
                println!("! {}: {ends}", token.name);
            }
        }
        let Ok(text) = std::env::var("EVENTTRACKER_TOKEN") else {
            return Ok(ExitCode::SUCCESS);
        };
        let secret = Secret::new(&text).context("EVENTTRACKER_TOKEN")?;
        let token = tokens.with_secret(&secret);
        let token = token.context("the token in EVENTTRACKER_TOKEN is not in this file")?;
        ensure!(
            !token.has_expired(now),
            "the token in EVENTTRACKER_TOKEN is '{}', which has expired",
            token.name
        );
        let names = match token.view.prefixes() {
            None => "all names".to_owned(),
            Some(prefixes) => format!("names that begin with {}", prefixes.join(" or ")),
        };
        println!(
            "EVENTTRACKER_TOKEN is '{}': {}, {names}",
            token.name,
            scopes(token)
        );
        Ok(ExitCode::SUCCESS)
    }
}

/// The file of tokens that a configuration names.
fn tokens_file(config: &Path) -> anyhow::Result<PathBuf> {
    let config = Config::read(config)?;
    let of_collector = config.collector.and_then(|collector| collector.tokens_file);
    let of_api = config.api.and_then(|api| api.tokens_file);
    match (of_collector, of_api) {
        (Some(one), Some(other)) if one != other => bail!(
            "[collector] and [api] have each a tokens_file, {} and {}: name the one that is meant",
            one.display(),
            other.display()
        ),
        (Some(path), _) | (None, Some(path)) => Ok(path),
        (None, None) => Err(config.file.lacks("no tokens_file", None)),
    }
}

fn table(tokens: &Tokens, now: Timestamp) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header([
        "name",
        "scopes",
        "names",
        "weight",
        "events/s",
        "names a day",
        "expires",
        "pages",
    ]);
    for token in tokens.iter() {
        let prefixes = token.view.prefixes();
        table.add_row([
            token.name.to_string(),
            scopes(token),
            prefixes.map_or("all".to_owned(), |prefixes| {
                prefixes
                    .iter()
                    .map(|prefix| format!("{prefix}*"))
                    .collect::<Vec<_>>()
                    .join(" ")
            }),
            token.weight.to_string(),
            token.events_per_s.map_or("no limit".to_owned(), grouped),
            grouped(token.names_max as u64),
            ends(token, now).unwrap_or_else(|| token.expires.map_or("never".to_owned(), date)),
            token
                .origins
                .iter()
                .map(gate::Origin::as_str)
                .collect::<Vec<_>>()
                .join(" "),
        ]);
    }
    table
}

fn scopes(token: &Listed) -> String {
    let scopes: Vec<String> = token.scopes.iter().map(ToString::to_string).collect();
    scopes.join(" ")
}

/// What is to be said of a token's end, if it has come or is near.
fn ends(token: &Listed, now: Timestamp) -> Option<String> {
    let expires = token.expires?;
    if token.has_expired(now) {
        return Some(format!("expired {}", date(expires)));
    }
    let soon = expires.ms_since(now) < ENDS_SOON_DAYS * 86_400_000;
    soon.then(|| format!("expires {}, which is soon", date(expires)))
}

fn date(at: Timestamp) -> String {
    // A file cannot write a date that the calendar has not.
    utc(at.unix_s()).unwrap_or_default()
}
