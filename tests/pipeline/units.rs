//! `deploy/systemd` and `deploy/environment`: each role runs as a user of its own, within memory of its own, and knows its own password
//! alone; that and the sample configuration are all it needs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use playground::Description;
use tokio::process::{Child, Command};

use crate::rig::{LIMIT, PROGRAM, Rig, one_region, settings, signal, wait_until};

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy");

const SAMPLE: &str = include_str!("../../deploy/eventtracker.toml");

const INSTALLED: &str = "/usr/local/bin/eventtracker";

/// The section of the sample that names the one password which a role needs.
const ROLES: [(&str, Option<&str>); 4] = [
    ("collector", None),
    ("worker", Some("regional")),
    ("api", Some("central")),
    ("keeper", Some("housekeeping")),
];

/// The values of each setting of a unit, with continued lines made one.
type Unit = BTreeMap<String, Vec<String>>;

#[test]
fn each_role_has_a_user_a_file_and_a_memory_limit_of_its_own() {
    let units = units();
    for (role, _) in ROLES {
        let unit = &units[&file_of(role)];
        for setting in ["User", "Group"] {
            assert_eq!(unit[setting], [format!("eventtracker-{role}")]);
        }
        assert_eq!(
            unit["EnvironmentFile"],
            [format!("-/etc/eventtracker/{role}.env")]
        );
        assert!(unit["MemoryMax"][0].ends_with(['M', 'G']), "{unit:?}");
        assert!(unit["ExecStart"][0].starts_with(&format!("{INSTALLED} {role} --config ")));
        let mut environment = unit.get("Environment").into_iter().flatten();
        assert!(!environment.any(|set| set.contains("PASSWORD")), "{role}");
        for further in ["PassEnvironment", "LoadCredential", "SupplementaryGroups"] {
            assert!(!unit.contains_key(further), "{role}: {further}");
        }
    }
    for setting in ["User", "EnvironmentFile"] {
        let all: Vec<&str> = units
            .values()
            .flat_map(|unit| unit.get(setting).into_iter().flatten())
            .map(String::as_str)
            .collect();
        let different: BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len(), "{setting}: {all:?}");
    }
    let services = units.iter().filter(|(file, _)| file.ends_with(".service"));
    let as_root: Vec<_> = services.filter(|(_, unit)| !unit.contains_key("User")).collect();
    assert!(as_root.is_empty(), "{as_root:?}");
}

#[test]
fn each_environment_has_its_roles_password_alone() {
    let sample = settings(SAMPLE);
    for (role, section) in ROLES {
        let needed = section.map(|section| password(&sample[section]).unwrap().to_owned());
        assert_eq!(environment(role), needed.into_iter().collect(), "{role}.env");
    }
    let mut all: BTreeSet<String> = sample.values().filter_map(password).map(str::to_owned).collect();
    all.insert("EVENTTRACKER_ADMIN_PASSWORD".to_owned());
    assert_eq!(environment("operator"), all);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_role_starts_with_what_its_unit_gives_it() {
    let rig = Rig::start(one_region()).await;
    let config = rig.data_dir().join("sample.toml");
    let port = playground::free_port(1).unwrap();
    let addresses = ROLES
        .iter()
        .zip(port..)
        .map(|((role, _), port)| (*role, format!("127.0.0.1:{port}")));
    let addresses: BTreeMap<_, _> = addresses.collect();
    std::fs::write(&config, sample_for(&rig.description(), &addresses)).unwrap();
    for (role, _) in ROLES {
        let mut running = start(role, &config, &addresses[role], &rig.data_dir().join("passwords"));
        let ready = format!("http://{}/readyz", addresses[role]);
        wait_until(&format!("the {role} to be ready"), async || {
            if let Some(ended) = running.try_wait().unwrap() {
                panic!("the {role} ended with {ended}");
            }
            match rig.http.get(&ready).send().await {
                Ok(answer) if answer.status() == 200 => Ok(()),
                Ok(answer) => Err(answer.text().await.unwrap()),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
        signal("TERM", running.id().unwrap()).await;
        let ended = tokio::time::timeout(LIMIT, running.wait()).await;
        assert!(ended.expect("it ends").unwrap().success(), "{role}");
    }
    rig.stop().await;
}

#[tokio::test]
async fn systemd_understands_every_line() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for (file, text) in texts() {
        // The programs are not installed where tests run.
        let text = text
            .replace(INSTALLED, PROGRAM)
            .replace("/usr/local/lib/eventtracker/", &format!("{DEPLOY}/"));
        let instance = dir.path().join(file.replace("@.", "@one."));
        std::fs::write(&instance, text).unwrap();
        files.push(instance);
    }
    let verify = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(files)
        .output();
    let output = verify.await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

/// The sample, with the rig's servers and the test's addresses instead of its own.
fn sample_for(description: &Description, addresses: &BTreeMap<&str, String>) -> String {
    let mut sample = settings(SAMPLE);
    let region = &description.regions["eu"];
    let mut set = |section: &str, key: &str, value: &str| {
        sample[section]
            .as_table_mut()
            .unwrap()
            .insert(key.to_owned(), value.into());
    };
    set("queue", "address", &region.beanstalkd);
    set("regional", "socket", region.mariadb.socket.to_str().unwrap());
    set("central", "socket", description.central.socket.to_str().unwrap());
    for (role, address) in addresses {
        set(role, "listen", address);
    }
    sample.to_string()
}

/// Runs a role as its unit does, beside the rig's own.
fn start(role: &str, config: &Path, address: &str, passwords: &Path) -> Child {
    let unit = &units()[&file_of(role)];
    let command = unit["ExecStart"][0].replace(INSTALLED, PROGRAM);
    let arguments = command.split_whitespace().map(|argument| match argument {
        "/etc/eventtracker/eventtracker.toml" => config.to_str().unwrap(),
        "%i" => "worker-2",
        "${LISTEN}" => address,
        other => other,
    });
    let arguments: Vec<&str> = arguments.collect();
    let secrets = environment(role).into_iter().map(|name| {
        let account = name.strip_suffix("_PASSWORD").unwrap().to_lowercase();
        let account = account.replacen("eventtracker_", "", 1);
        let file = passwords.join(format!("eventtracker_{account}"));
        (name, std::fs::read_to_string(file).unwrap().trim_end().to_owned())
    });
    Command::new(arguments[0])
        .args(&arguments[1..])
        .env_clear()
        .envs(secrets)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// The passwords that a sample of an environment has a line for.
fn environment(name: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(format!("{DEPLOY}/environment/{name}.env")).unwrap();
    let names = text.lines().filter_map(|line| line.split_once("_PASSWORD="));
    names
        .map(|(name, _)| format!("{}_PASSWORD", name.trim_start_matches('#')))
        .collect()
}

/// The variable that a section of the sample names.
fn password(section: &toml::Value) -> Option<&str> {
    section.get("password")?.get("env")?.as_str()
}

fn file_of(role: &str) -> String {
    let instance = if role == "worker" { "@" } else { "" };
    format!("eventtracker-{role}{instance}.service")
}

fn units() -> BTreeMap<String, Unit> {
    texts()
        .into_iter()
        .map(|(file, text)| (file, parse(&text)))
        .collect()
}

fn texts() -> BTreeMap<String, String> {
    let files = std::fs::read_dir(format!("{DEPLOY}/systemd")).unwrap();
    let paths = files.map(|entry| entry.unwrap().path());
    let named = paths.map(|path: PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read_to_string(path).unwrap())
    });
    named.collect()
}

fn parse(text: &str) -> Unit {
    let mut unit = Unit::new();
    let joined = text.replace("\\\n", " ");
    for line in joined.lines().filter(|line| !line.starts_with('#')) {
        if let Some((key, value)) = line.split_once('=') {
            unit.entry(key.to_owned()).or_default().push(value.to_owned());
        }
    }
    unit
}
