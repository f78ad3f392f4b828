//! The layout: the files and ports of every server and role.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::authority::{Authority, TLS_DIR};
use crate::centre::{CENTRAL, CENTRAL_SERVERS_MAX, Centre, CentreServer, STANDBY, server_name};
use crate::shifted_clock::CLOCKS_DIR;
use crate::{Options, roles};

/// Collectors, or workers, of one region: as many as its ten ports have room for.
pub const ROLES_PER_REGION_MAX: usize = 4;

/// Distance from one region's ports to the next one's, and from the api's port to the first region's.
const REGION_STEP: u16 = 10;

/// Distance from a region's first port to its MariaDB's.
const MARIADB_OFFSET: u16 = 2;

/// Bytes of a region's name, as `store` allows them for a replication source.
const REGION_NAME_MAX: usize = 32;

/// Names of the playground's own files in the data directory, where a region gets a directory, too.
const RESERVED_NAMES: [&str; 8] = [
    CENTRAL,
    CLOCKS_DIR,
    "lock",
    "logs",
    "passwords",
    "regions",
    STANDBY,
    TLS_DIR,
];

/// Bytes of a Unix socket's path: `sun_path` holds 108 (unix(7)), one of them the closing zero.
const SOCKET_PATH_MAX: usize = 107;

/// The file that lists the regions of which a data directory has data, in the order in which they came.
pub(crate) const REGIONS_FILE: &str = "regions";

/// The files and ports of a playground.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// The data directory.
    pub dir: PathBuf,
    /// The api's port.
    pub port: u16,
    pub regions: Vec<RegionLayout>,
    pub central: Centre,
    pub standby: Option<Centre>,
    /// The authority, if what is said is encrypted.
    pub authority: Option<Authority>,
}

/// The files and ports of a region.
#[derive(Debug, Clone)]
pub(crate) struct RegionLayout {
    pub name: String,
    /// Its number, 1 for the directory's first region. It is `server_id` and `gtid_domain_id`, hence never another once events were
    /// written.
    pub number: u32,
    pub dir: PathBuf,
    /// Whether the centres replicate from it.
    pub is_attached: bool,
    /// The port at which the centres reach its MariaDB.
    pub link_port: u16,
    /// The first of its ports.
    port: u16,
}

impl Layout {
    /// Gives every region its number and ports, the same as at the directory's earlier starts.
    ///
    /// # Errors
    /// Options that do not fit, in a sentence that says what does.
    pub(crate) fn new(options: &Options, dir: &Path) -> Result<Self> {
        check_counts(options)?;
        ensure!(
            options.port > 0,
            "--port 0 is no port, and all others follow from it: pass one such as 7070"
        );
        for name in &options.regions {
            check_region_name(name)?;
        }
        let known = std::fs::read_to_string(dir.join(REGIONS_FILE)).unwrap_or_default();
        let names = in_order(known.lines(), &options.regions)
            .with_context(|| format!("the regions do not fit the data directory {}", dir.display()))?;
        let last_port = u64::from(options.port) + u64::from(REGION_STEP) * (names.len() as u64 + 1) - 1;
        ensure!(
            last_port <= u64::from(u16::MAX),
            "{} regions from --port {} would need ports up to {last_port}, beyond {}: pass a lower --port or fewer regions",
            names.len(),
            options.port,
            u16::MAX
        );
        let mut regions = Vec::new();
        let mut port = options.port;
        for (name, number) in names.into_iter().zip(1..) {
            port += REGION_STEP;
            regions.push(RegionLayout {
                dir: dir.join(&name),
                is_attached: !options.unattached.contains(&name),
                link_port: options.links.get(&name).copied().unwrap_or(port + MARIADB_OFFSET),
                name,
                number,
                port,
            });
        }
        let layout = Self {
            dir: dir.to_owned(),
            port: options.port,
            regions,
            central: Centre::central(dir, options.port, options.central_servers),
            standby: options.standby.then(|| Centre::standby(dir, options.port)),
            authority: options.tls.then(|| Authority::of(dir)),
        };
        ensure!(
            options.tls || !Authority::of(dir).exists(),
            "{} has accounts that have to encrypt, from a start with --tls: give --tls again, or --data-dir a new directory",
            dir.display()
        );
        layout.check_paths()?;
        Centre::check_none_is_left_out(dir, layout.standby.as_ref())?;
        layout.central.check_servers(dir)?;
        Ok(layout)
    }

    /// Base URL of a collector or the api that listens on `port`.
    pub(crate) fn base_url(&self, port: u16) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", roles::address(port))
    }

    /// The file of the authority that clients need, if any.
    pub(crate) fn ca(&self) -> Option<PathBuf> {
        self.authority.as_ref().map(Authority::ca)
    }

    pub(crate) fn centres(&self) -> impl Iterator<Item = &Centre> {
        std::iter::once(&self.central).chain(&self.standby)
    }

    /// The servers of all centres.
    pub(crate) fn central_servers(&self) -> impl Iterator<Item = &CentreServer> {
        self.centres().flat_map(|centre| &centre.servers)
    }

    /// The regions that every centre replicates from.
    pub(crate) fn attached(&self) -> impl Iterator<Item = &RegionLayout> {
        self.regions.iter().filter(|region| region.is_attached)
    }

    /// Writes down the order of the regions for the next start. In one step: a list that was cut off would give regions other numbers.
    pub(crate) fn save_regions(&self) -> Result<()> {
        let names: String = self
            .regions
            .iter()
            .map(|region| format!("{}\n", region.name))
            .collect();
        let path = self.dir.join(REGIONS_FILE);
        let new = path.with_extension("new");
        std::fs::write(&new, names)
            .and_then(|()| std::fs::rename(&new, &path))
            .with_context(|| format!("failed to write {}", path.display()))
    }

    /// Every port that the servers and roles are going to use, with the part that uses it.
    pub(crate) fn ports(&self, options: &Options) -> Vec<(String, u16)> {
        let mut ports = vec![("api".to_owned(), self.port)];
        for centre in self.centres() {
            let of_server = |server: &CentreServer| (format!("{} MariaDB", server.name), server.port);
            ports.extend(centre.servers.iter().map(of_server));
            ports.push((format!("{} keeper", centre.name), centre.keeper_port));
        }
        for region in &self.regions {
            let name = &region.name;
            ports.push((format!("beanstalkd of {name}"), region.beanstalkd_port()));
            ports.push((format!("MariaDB of {name}"), region.mariadb_port()));
            ports.extend(
                (0..options.collectors).map(|n| (format!("collector of {name}"), region.collector_port(n))),
            );
            ports.extend((0..options.workers).map(|n| (format!("worker of {name}"), region.worker_port(n))));
        }
        ports
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.dir.join("logs")
    }

    pub(crate) fn region_config(&self, region: &RegionLayout) -> PathBuf {
        self.dir.join(format!("{}.toml", region.name))
    }

    /// Checks the data directory's path: MariaDB's option files take it as it stands, its installer passes it on unquoted, `tmpdir` takes
    /// a list with colons, and a socket's path is short.
    fn check_paths(&self) -> Result<()> {
        let dir = self
            .dir
            .to_str()
            .context("the data directory's path is not UTF-8: pass another --data-dir")?;
        ensure!(
            !dir.contains(|c: char| c.is_control() || c.is_whitespace() || "#'\"\\;:".contains(c)),
            "the data directory's path {dir} has a character that MariaDB's option files cannot hold: pass another --data-dir"
        );
        let longest_name = self
            .regions
            .iter()
            .map(|region| region.name.len())
            .max()
            .unwrap_or(0);
        let socket_bytes = dir.len() + "//mariadb/mariadb.sock".len() + longest_name;
        ensure!(
            socket_bytes <= SOCKET_PATH_MAX,
            "the data directory's path {dir} is {} bytes too long for a Unix socket in it: pass a shorter --data-dir",
            socket_bytes.saturating_sub(SOCKET_PATH_MAX)
        );
        Ok(())
    }
}

impl RegionLayout {
    pub(crate) fn queue_dir(&self) -> PathBuf {
        self.dir.join("beanstalkd")
    }

    /// Port of collector `n`, counted from 0.
    pub(crate) fn collector_port(&self, n: usize) -> u16 {
        if n == 0 { self.port } else { self.further_port(n) }
    }

    pub(crate) fn beanstalkd_port(&self) -> u16 {
        self.port + 1
    }

    pub(crate) fn mariadb_port(&self) -> u16 {
        self.port + MARIADB_OFFSET
    }

    /// Port of worker `n`, counted from 0.
    pub(crate) fn worker_port(&self, n: usize) -> u16 {
        if n == 0 {
            self.port + 3
        } else {
            self.further_port(n) + 1
        }
    }

    /// Port of collector `n` above 0; the next is that of worker `n`. The second collector listens on the fifth of the region's ports, the
    /// second worker on the sixth, and so on by turns.
    fn further_port(&self, n: usize) -> u16 {
        self.port + 2 + 2 * u16::try_from(n).unwrap_or(u16::MAX)
    }
}

fn check_counts(options: &Options) -> Result<()> {
    ensure!(
        !options.regions.is_empty(),
        "there is no region to start: name at least one, as in --regions eu"
    );
    ensure!(
        (1..=CENTRAL_SERVERS_MAX).contains(&options.central_servers),
        "--central-servers {} is no number of servers that its ports have room for: from 1 to {CENTRAL_SERVERS_MAX}",
        options.central_servers
    );
    for (what, count) in [("collectors", options.collectors), ("workers", options.workers)] {
        ensure!(
            count <= ROLES_PER_REGION_MAX,
            "{count} {what} in one region are more than its ports have room for: at most {ROLES_PER_REGION_MAX}"
        );
    }
    Ok(())
}

fn check_region_name(name: &str) -> Result<()> {
    let characters_fit = name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    ensure!(
        characters_fit && (1..=REGION_NAME_MAX).contains(&name.len()),
        "region name '{name}' may only have lower-case letters, digits and '-', at most {REGION_NAME_MAX} of them"
    );
    let is_server = (0..CENTRAL_SERVERS_MAX).any(|n| server_name(n) == name);
    ensure!(
        !RESERVED_NAMES.contains(&name) && !is_server,
        "'{name}' is the name of one of the playground's own files: call the region otherwise"
    );
    Ok(())
}

/// The wanted regions, the known ones first and in their old order: a region that changed its place would change its GTID domain, and
/// the centre would skip its events.
///
/// # Errors
/// A known region that is not wanted, or one that is named twice.
fn in_order<'a>(known: impl Iterator<Item = &'a str>, wanted: &[String]) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for name in known {
        if !wanted.iter().any(|w| w == name) {
            bail!(
                "it holds data of region {name} as well: name it in --regions, too, or pass another --data-dir"
            );
        }
        names.push(name.to_owned());
    }
    for (at, name) in wanted.iter().enumerate() {
        ensure!(!wanted[..at].contains(name), "region {name} is named twice");
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(regions: &[&str], port: u16) -> Options {
        Options {
            regions: regions.iter().map(|&r| r.to_owned()).collect(),
            port,
            ..Options::default()
        }
    }

    fn refusal(options: &Options, dir: &str) -> String {
        format!("{:#}", Layout::new(options, Path::new(dir)).unwrap_err())
    }

    #[test]
    fn ports_as_documented() {
        let options = Options {
            collectors: 4,
            workers: 4,
            standby: true,
            ..options(&["eu", "us"], 7070)
        };
        let layout = Layout::new(&options, Path::new("/nowhere")).unwrap();
        let eu = &layout.regions[0];
        assert_eq!(
            (0..4).map(|n| eu.collector_port(n)).collect::<Vec<_>>(),
            [7080, 7084, 7086, 7088]
        );
        assert_eq!(
            (0..4).map(|n| eu.worker_port(n)).collect::<Vec<_>>(),
            [7083, 7085, 7087, 7089]
        );
        assert_eq!((eu.beanstalkd_port(), eu.mariadb_port()), (7081, 7082));
        assert_eq!(layout.regions[1].collector_port(0), 7090);
        let mut ports: Vec<u16> = layout.ports(&options).into_iter().map(|(_, port)| port).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 5 + 2 * 10, "no port has two users");
        let of_centres: Vec<_> = layout
            .centres()
            .map(|centre| (centre.name, centre.servers[0].port, centre.keeper_port))
            .collect();
        assert_eq!(of_centres, [("central", 7071, 7072), ("standby", 7073, 7074)]);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_remedy() {
        assert!(refusal(&options(&[], 7070), "/d").contains("--regions eu"));
        assert!(refusal(&options(&["eu", "eu"], 7070), "/d").contains("named twice"));
        for name in ["logs", "standby"] {
            assert!(refusal(&options(&[name], 7070), "/d").contains("call the region otherwise"));
        }
        assert!(refusal(&options(&["E/U"], 7070), "/d").contains("lower-case"));
        assert!(refusal(&options(&["eu", "us"], 65_510), "/d").contains("lower --port"));
        assert!(
            refusal(
                &Options {
                    workers: 5,
                    ..options(&["eu"], 7070)
                },
                "/d"
            )
            .contains("at most 4")
        );
        assert!(
            refusal(&options(&["eu"], 7070), &format!("/{}", "d".repeat(100))).contains("shorter --data-dir")
        );
        for dir in ["/it's", "/my files", "/a:b"] {
            assert!(refusal(&options(&["eu"], 7070), dir).contains("another --data-dir"));
        }
        assert!(refusal(&options(&["eu"], 0), "/d").contains("such as 7070"));
    }

    #[test]
    fn a_second_centre_is_not_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().to_str().unwrap();
        std::fs::create_dir(dir.path().join("standby")).unwrap();
        let without = options(&["eu"], 7070);
        assert!(refusal(&without, path).contains("pass --standby, too"));
        let with = Options {
            standby: true,
            ..without
        };
        Layout::new(&with, dir.path()).unwrap();
    }

    #[test]
    fn regions_keep_their_places() {
        let names = |known: &[&str], wanted: &[&str]| {
            in_order(
                known.iter().copied(),
                &wanted.iter().map(|&w| w.to_owned()).collect::<Vec<_>>(),
            )
        };
        assert_eq!(
            names(&["eu", "us"], &["asia", "us", "eu"]).unwrap(),
            ["eu", "us", "asia"]
        );
        assert!(
            names(&["eu", "us"], &["eu"])
                .unwrap_err()
                .to_string()
                .contains("region us")
        );
    }
}
