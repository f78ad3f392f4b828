//! What a playground consists of: each process with its command line.

use std::ffi::OsString;
use std::path::Path;

use crate::centre::CENTRAL;
use crate::layout::{Layout, RegionLayout};
use crate::mariadb::MariaDb;
use crate::part::{Kind, Part};
use crate::process::Process;
use crate::programs::Programs;
use crate::{Options, roles};

/// Every process of a playground, none of them started yet.
pub(crate) fn all(layout: &Layout, options: &Options, programs: &Programs) -> Vec<Process> {
    let mut processes = servers(layout, options, programs);
    for process in &mut processes {
        if let Some(further) = options.server_options.get(&process.name) {
            process.add_arguments(further);
        }
    }
    if let Some(program) = &options.program {
        add_roles(&mut processes, layout, options, program);
    }
    processes
}

fn servers(layout: &Layout, options: &Options, programs: &Programs) -> Vec<Process> {
    let logs = layout.logs();
    let mut processes = Vec::new();
    for region in &layout.regions {
        processes.push(beanstalkd(region, programs, &logs));
        let server = MariaDb::of_region(region)
            .for_people(options.is_for_people)
            .encrypted(layout.authority.as_ref());
        processes.push(mariadb(
            Kind::RegionalMariaDb,
            &region.name,
            server,
            programs,
            &logs,
        ));
    }
    for server in layout.central_servers() {
        let mariadb_server = MariaDb::of_centre(layout, server)
            .for_people(options.is_for_people)
            .encrypted(layout.authority.as_ref());
        processes.push(mariadb(
            Kind::CentralMariaDb,
            &server.name,
            mariadb_server,
            programs,
            &logs,
        ));
    }
    processes
}

fn add_roles(processes: &mut Vec<Process>, layout: &Layout, options: &Options, program: &Path) {
    let logs = layout.logs();
    let mut role = |kind, place: &str, name: String, port, arguments| {
        let part = Part::Role {
            readyz: match kind {
                Kind::Collector | Kind::Api => format!("{}/readyz", layout.base_url(port)),
                _ => format!("http://{}/readyz", roles::address(port)),
            },
            ca: layout.ca(),
        };
        let mut process = Process::new(kind, part, place, name, program, arguments, &logs);
        process.add_environment(options.role_environment.clone());
        processes.push(process);
    };
    let has_roles = |region: &&RegionLayout| !options.servers_only.contains(&region.name);
    for region in layout.regions.iter().filter(has_roles) {
        for n in 0..options.collectors {
            let name = format!("{}/collector-{}", region.name, n + 1);
            let arguments = roles::collector_arguments(layout, region, n);
            role(
                Kind::Collector,
                &region.name,
                name,
                region.collector_port(n),
                arguments,
            );
        }
        for n in 0..options.workers {
            let name = format!("{}/worker-{}", region.name, n + 1);
            let arguments = roles::worker_arguments(layout, region, n);
            role(Kind::Worker, &region.name, name, region.worker_port(n), arguments);
        }
    }
    role(
        Kind::Api,
        CENTRAL,
        "api".to_owned(),
        layout.port,
        roles::api_arguments(layout),
    );
    for centre in layout.centres() {
        let name = match centre.name {
            CENTRAL => "keeper".to_owned(),
            other => format!("{other}/keeper"),
        };
        let arguments = roles::keeper_arguments(centre);
        role(Kind::Keeper, centre.name, name, centre.keeper_port, arguments);
    }
}

fn beanstalkd(region: &RegionLayout, programs: &Programs, logs: &Path) -> Process {
    let port = region.beanstalkd_port();
    let listen = ["-l", "127.0.0.1", "-p", &port.to_string()].map(OsString::from);
    // As `deploy/systemd/beanstalkd.service` has it: a job is on disk before it is acknowledged, and the next file of the log is soon there.
    let durable = [
        "-b".into(),
        region.queue_dir().into(),
        "-f0".into(),
        "-s1048576".into(),
    ];
    let arguments = listen.into_iter().chain(durable).collect();
    let name = format!("{}/beanstalkd", region.name);
    Process::new(
        Kind::Beanstalkd,
        Part::Beanstalkd { port },
        &region.name,
        name,
        &programs.beanstalkd,
        arguments,
        logs,
    )
}

fn mariadb(kind: Kind, place: &str, server: MariaDb, programs: &Programs, logs: &Path) -> Process {
    let arguments = server.arguments();
    let name = format!("{place}/mariadb");
    Process::new(
        kind,
        Part::MariaDb(server),
        place,
        name,
        &programs.mariadbd,
        arguments,
        logs,
    )
}
