//! What is said is encrypted, on every way; and a certificate that is not what it should be is refused, with a sentence.

use std::collections::BTreeMap;
use std::path::PathBuf;

use mysql_async::prelude::Queryable;
use playground::{Authority, Directory, Options};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::complete::wait_until_current;
use crate::keeper_watches::alarms;
use crate::regions::{expect, mariadb_port, options, region, region_with_options};
use crate::rig::{Rig, answer, eventtracker, settings, signal, wait_until};
use crate::switched::expect_no_alarm;

const MINUTE: i64 = 1_763_787_600;

/// Certificates that a test changes, and the authority that all know.
struct Certificates {
    authority: Authority,
    dir: PathBuf,
}

impl Certificates {
    /// In the directory that a rig will have its data in.
    fn of(dir: &Directory) -> Self {
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        // By this a playground knows its own.
        std::fs::write(data.join("regions"), "eu\nasia\n").unwrap();
        let authority = Authority::of(&data);
        authority.certify().unwrap();
        let certificates = Self {
            authority,
            dir: dir.path().to_owned(),
        };
        for who in ["collector", "mariadb"] {
            certificates.issue(who, "127.0.0.1", 1);
        }
        certificates
    }

    fn files(&self, who: &str) -> [PathBuf; 2] {
        ["certificate", "key"].map(|what| self.dir.join(format!("{who}-{what}.pem")))
    }

    fn issue(&self, who: &str, name: &str, years: i32) {
        let [certificate, key] = self.files(who);
        self.authority.issue(&certificate, &key, &[name], years).unwrap();
    }

    /// The regions eu, whose certificates these are, and asia, which no centre knows yet.
    fn options(&self) -> Options {
        let [certificate, key] = self.files("collector").map(|path| path.display().to_string());
        let tls = format!("[collector.tls]\ncertificate = '{certificate}'\nkey = '{key}'");
        let [certificate, key] = self.files("mariadb").map(|path| path.display().to_string());
        let of_mariadb = vec![format!("--ssl-cert={certificate}"), format!("--ssl-key={key}")];
        Options {
            tls: true,
            region_overrides: settings(&tls),
            server_options: BTreeMap::from([("eu/mariadb".to_owned(), of_mariadb)]),
            ..options(&["eu", "asia"], &["asia"], &["asia"])
        }
    }
}

fn text(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// What the operator's command says to a collector.
async fn emit(rig: &Rig, ca: &std::path::Path) -> (i32, String) {
    let [collector, ca] = [rig.collectors("eu")[0].clone(), ca.display().to_string()];
    let output = eventtracker(&["emit", "a", "--collector", &collector, "--ca", &ca]).await;
    (output.status.code().unwrap(), text(&output))
}

async fn wait_for_emit(rig: &Rig, ca: &std::path::Path, code: i32, part: &str) {
    wait_until(
        "the collector to show another certificate",
        async || match emit(rig, ca).await {
            (is, text) if is == code && text.contains(part) => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )
    .await;
}

/// A client that nobody here wrote.
async fn curl(arguments: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args([
        "--silent",
        "--show-error",
        "--write-out",
        " %{http_version} %{http_code}",
    ]);
    text(&command.args(arguments).output().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_and_2_and_nothing_in_plain_text() {
    let dir = Directory::new().unwrap();
    let certificates = Certificates::of(&dir);
    let rig = Rig::start_in(dir, certificates.options()).await;
    let ca = rig.description().ca.unwrap();
    let ca_path = ca.to_str().unwrap();
    let collector = rig.collectors("eu").swap_remove(0);
    let events = format!("{collector}/v1/events");
    let body = json!({ "name": "a", "timestamp": MINUTE }).to_string();
    let json = [
        "--header",
        "Content-Type: application/json",
        "--data",
        &body,
        &events,
    ];
    for (protocol, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
        let answer = curl(&[&["--cacert", ca_path, protocol], &json[..]].concat()).await;
        assert!(
            answer.contains("\"accepted\":1") && answer.ends_with(&format!(" {version} 202")),
            "{answer}"
        );
    }
    let status = format!("{}/v1/status", rig.description().api);
    let foreign = ["--cacert", ca_path, "--header", "Host: evil.example", &status];
    assert!(curl(&foreign).await.ends_with(" 2 421"), "by no other name");
    let plain = curl(&[&status.replace("https://", "http://")]).await;
    assert!(
        plain.contains("use https://") && plain.ends_with(" 1.1 400"),
        "{plain}"
    );
    wait_until("both events", async || {
        let series = format!("/v1/series?name=a&from={MINUTE}&until={}&step=1m", MINUTE + 60);
        match rig.get(&series).await.json {
            answer if answer["series"][0]["total"] == 2 => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await;

    accounts_have_to_encrypt(&rig).await;
    a_region_is_added_encrypted(&rig, &ca).await;
    rig.stop().await;
}

/// But for those that come over the socket.
async fn accounts_have_to_encrypt(rig: &Rig) {
    let description = rig.description();
    let servers = [&description.central, &description.regions["eu"].mariadb];
    for server in servers {
        const SQL: &str = "SELECT Host, ssl_type = 'ANY' FROM mysql.user WHERE User LIKE 'eventtracker\\_%' AND Host <> '' GROUP BY 1, 2";
        let mut conn = server.root().connect().await.unwrap();
        let mut hosts: Vec<(String, bool)> = conn.query(SQL).await.unwrap();
        hosts.sort();
        assert_eq!(hosts, [("%".to_owned(), true), ("localhost".to_owned(), false)]);
    }
    let keeper = store::Account {
        user: "eventtracker_keeper".to_owned(),
        password: store::Password::File(rig.data_dir().join("passwords/eventtracker_keeper")),
    };
    let plain = store::Server::at("127.0.0.1", description.central.port, None, &keeper);
    let refused = plain.connect().await.unwrap_err();
    assert!(refused.is_answer(), "{refused:?}");
    let mut centre = description.central.root().connect().await.unwrap();
    let source: mysql_async::Row = centre
        .query_first("SHOW SLAVE 'eu' STATUS")
        .await
        .unwrap()
        .unwrap();
    for (column, expected) in [
        ("Master_SSL_Allowed", "Yes"),
        ("Master_SSL_Verify_Server_Cert", "Yes"),
        (
            "Master_SSL_CA_File",
            description.ca.as_ref().unwrap().to_str().unwrap(),
        ),
    ] {
        assert_eq!(source.get::<String, _>(column).as_deref(), Some(expected));
    }
}

async fn a_region_is_added_encrypted(rig: &Rig, ca: &std::path::Path) {
    let other = Directory::new().unwrap();
    let foreign = Authority::of(other.path());
    foreign.certify().unwrap();
    let port = mariadb_port(rig, "asia");
    let add = async |host: &str, ca: &str| {
        let add = ["add", "asia", "--host", host, "--port", &port, "--tls-ca", ca];
        region_with_options(rig, &add).await
    };
    let refused = add("127.0.0.1", foreign.ca().to_str().unwrap()).await;
    expect(
        &refused,
        1,
        &["is not spoken to", "of an authority that is not known here"],
    );
    let refused = add("127.0.0.1", "ca.pem").await;
    expect(&refused, 1, &["tls_ca = 'ca.pem' must be a whole path"]);
    let ca = ca.to_str().unwrap();
    expect(&add("127.0.0.1", ca).await, 0, &["verified: asia is a source"]);
    let central = std::fs::read_to_string(rig.config("central")).unwrap();
    assert_eq!(
        central.matches("tls_ca = ").count(),
        3,
        "the centre's own, eu's and asia's: {central}"
    );
    // As the file has it, without --tls-ca.
    let again = ["add", "asia", "--host", "127.0.0.1", "--port", &port];
    expect(
        &region_with_options(rig, &again).await,
        0,
        &["has the connection already"],
    );
    let elsewhere = central.replace(ca, "/etc/other-ca.pem");
    std::fs::write(rig.config("central"), elsewhere).unwrap();
    let listed = region(rig, &["list"]).await;
    expect(
        &listed,
        1,
        &["the file has tls_ca = /etc/other-ca.pem, but the centre replicates with"],
    );
    std::fs::write(rig.config("central"), central).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collectors_certificate_is_renewed_while_it_runs() {
    let dir = Directory::new().unwrap();
    let certificates = Certificates::of(&dir);
    let other = Directory::new().unwrap();
    let foreign = Authority::of(other.path());
    foreign.certify().unwrap();
    let rig = Rig::start_in(dir, certificates.options()).await;
    let ca = rig.description().ca.unwrap();
    let pid = rig.description().regions["eu"].pids.collector.all()[0];
    expect(&emit(&rig, &ca).await, 0, &["accepted 1"]);
    let foreign = emit(&rig, &foreign.ca()).await;
    expect(
        &foreign,
        1,
        &[
            "is not spoken to: its certificate is of an authority that is not known here",
            "--ca",
        ],
    );

    certificates.issue("collector", "other.example", 1);
    signal("HUP", pid).await;
    wait_for_emit(
        &rig,
        &ca,
        1,
        "its certificate is for DnsName(\"other.example\"), and not for 127.0.0.1",
    )
    .await;

    // Nobody tells it.
    certificates.issue("collector", "127.0.0.1", -1);
    wait_for_emit(&rig, &ca, 1, "its certificate expired at 20").await;
    wait_for_alarm(&rig, "the certificate of a collector ends soon").await;

    certificates.issue("collector", "127.0.0.1", 1);
    signal("HUP", pid).await;
    wait_for_emit(&rig, &ca, 0, "accepted 1").await;
    let [_, key] = certificates.files("collector");
    std::fs::write(&key, "no key").unwrap();
    wait_until("a warning", async || {
        let url = format!("{}/readyz", rig.collectors("eu")[0]);
        match &answer(rig.http.get(url)).await.json["warnings"]["certificate"] {
            Value::String(text) if text.contains("has no private key in PEM") => Ok(()),
            other => Err(other.to_string()),
        }
    })
    .await;
    expect(&emit(&rig, &ca).await, 0, &["accepted 1"]);
    assert_eq!(rig.description().regions["eu"].pids.collector.all(), [pid]);
    rig.stop().await;
}

async fn wait_for_alarm(rig: &Rig, sentence: &str) {
    wait_until("the alarm", async || {
        let alarms = alarms(rig).await;
        let stands = |alarm: &Value| alarm["sentence"].as_str().unwrap().contains(sentence);
        if alarms.iter().any(stands) {
            Ok(())
        } else {
            Err(format!("{alarms:?}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_databases_certificate_is_renewed_while_it_runs() {
    let dir = Directory::new().unwrap();
    let certificates = Certificates::of(&dir);
    let rig = Rig::start_in(dir, certificates.options()).await;
    wait_until_current(&rig).await;
    let mut eu = rig.description().regions["eu"]
        .mariadb
        .root()
        .connect()
        .await
        .unwrap();
    let mut centre = rig.description().central.root().connect().await.unwrap();

    certificates.issue("mariadb", "127.0.0.1", -1);
    eu.query_drop("FLUSH SSL").await.unwrap();
    // Who is connected stays so. The keeper sees it before anybody is refused, as it would fourteen days before.
    wait_for_alarm(&rig, "expired at 20").await;
    centre.query_drop("STOP SLAVE 'eu'").await.unwrap();
    centre.query_drop("START SLAVE 'eu'").await.unwrap();
    wait_for_alarm(&rig, "SSL connection error").await;
    let config = rig.config("central");
    let applied = eventtracker(&["schema", "apply", "--config", config.to_str().unwrap()]).await;
    let refused = text(&applied);
    assert!(
        !applied.status.success() && refused.contains("is not spoken to: its certificate expired at 20"),
        "{refused}"
    );

    certificates.issue("mariadb", "127.0.0.1", 1);
    eu.query_drop("FLUSH SSL").await.unwrap();
    wait_until_current(&rig).await;
    expect_no_alarm(&rig).await;
    rig.stop().await;
}
