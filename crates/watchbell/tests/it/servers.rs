//! Real servers of many kinds from Debian's packages, each with a throw-away configuration, on an address of its own.

use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::kit::{Folder, own_address, wait_until};
use crate::peers::must_have;

/// A server that ends when its owner goes.
pub struct Server {
    child: Child,
    /// Goes with it.
    _folder: Folder,
    pub at: Ipv4Addr,
    pub port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

/// Whether these tests run as root.
pub fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// Runs a command to its end, which must be a good one.
pub fn done(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {}{words}", String::from_utf8_lossy(&output.stdout));
}

/// Starts a program; `listens` is false for those that take no TCP connections.
fn start(folder: Folder, at: Ipv4Addr, port: u16, listens: bool, program: &str, arguments: &[&str]) -> Server {
    let log = std::fs::File::create(folder.path().join("server.log")).expect("a log");
    let child = Command::new(program)
        .args(arguments)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let server = Server { child, _folder: folder, at, port };
    if listens {
        wait_until(program, || TcpStream::connect((at, port)).is_ok());
    }
    server
}

/// Redis with a password, over TLS too.
pub fn redis(certificate: &str, key: &str) -> Server {
    must_have("/usr/bin/redis-server", "redis-server");
    let (folder, at) = (Folder::new("redis"), own_address());
    let (certificate, key) = (folder.write("cert.pem", certificate), folder.write("key.pem", key));
    let text = format!(
        "bind {at}\nport 6379\ntls-port 6380\ntls-cert-file {c}\ntls-key-file {k}\ntls-ca-cert-file {c}\n\
         tls-auth-clients no\nrequirepass s3cret\nsave \"\"\ndir {here}\n",
        c = certificate.display(),
        k = key.display(),
        here = folder.path().display()
    );
    let file = folder.write("redis.conf", &text).display().to_string();
    start(folder, at, 6379, true, "/usr/bin/redis-server", &[&file])
}

/// An SSH server.
pub fn ssh() -> Server {
    must_have("/usr/sbin/sshd", "openssh-server");
    let (folder, at) = (Folder::new("ssh"), own_address());
    let key = folder.path().join("key").display().to_string();
    done("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &key]);
    if is_root() {
        std::fs::create_dir_all("/run/sshd").expect("a folder");
    }
    let text = format!("ListenAddress {at}:2222\nHostKey {key}\nPidFile none\nUsePAM no\n");
    let file = folder.write("sshd_config", &text).display().to_string();
    start(folder, at, 2222, true, "/usr/sbin/sshd", &["-D", "-e", "-f", &file])
}

/// An MQTT broker with a user.
pub fn mosquitto() -> Server {
    must_have("/usr/sbin/mosquitto", "mosquitto");
    let (folder, at) = (Folder::new("mosquitto"), own_address());
    let users = folder.path().join("users").display().to_string();
    done("mosquitto_passwd", &["-b", "-c", &users, "probe", "s3cret"]);
    let user = if is_root() { "user root\n" } else { "" };
    let text = format!("{user}listener 1883 {at}\nallow_anonymous false\npassword_file {users}\n");
    let file = folder.write("mosquitto.conf", &text).display().to_string();
    start(folder, at, 1883, true, "/usr/sbin/mosquitto", &["-c", &file])
}

/// A time server, with or without a time of its own to give.
pub fn chrony(has_time: bool) -> Server {
    must_have("/usr/sbin/chronyd", "chrony");
    let (folder, at) = (Folder::new("chrony"), own_address());
    let local = if has_time { "local stratum 3\n" } else { "" };
    let here = folder.path().display().to_string();
    let text =
        format!("{local}allow all\nport 11123\nbindaddress {at}\ncmdport 0\nbindcmdaddress /\npidfile {here}/pid\n");
    let file = folder.write("chrony.conf", &text).display().to_string();
    start(folder, at, 11123, false, "/usr/sbin/chronyd", &["-d", "-x", "-U", "-f", &file])
}

/// A name server for `watchbell.test`.
pub fn dnsmasq() -> Server {
    must_have("/usr/sbin/dnsmasq", "dnsmasq-base");
    let (folder, at) = (Folder::new("dnsmasq"), own_address());
    let address = format!("--listen-address={at}");
    let arguments = [
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--port=5353",
        &address,
        "--bind-interfaces",
        "--no-resolv",
        "--no-hosts",
        "--pid-file=",
        "--user=",
        "--local=/watchbell.test/",
        "--host-record=mail.watchbell.test,192.0.2.1",
        "--host-record=mail.watchbell.test,192.0.2.2",
        "--mx-host=watchbell.test,mail.watchbell.test,10",
        "--txt-record=watchbell.test,v=spf1 mx -all",
    ];
    start(folder, at, 5353, true, "/usr/sbin/dnsmasq", &arguments)
}

/// nginx: pages at 8080 and, over TLS, at 8443, and gRPC's health service at 8081 and 8444; at 8082 it does not serve.
pub fn nginx(certificate: &str, key: &str) -> Server {
    must_have("/usr/sbin/nginx", "nginx-light");
    let (folder, at) = (Folder::new("nginx"), own_address());
    let here = folder.path().display().to_string();
    folder.write("cert.pem", certificate);
    folder.write("key.pem", key);
    folder.write("pages/page", &"all is well\n".repeat(100));
    let health = "grpc.health.v1.Health/Check";
    folder.write(&format!("serving/{health}"), "\0\0\0\0\x02\x08\x01");
    folder.write(&format!("idle/{health}"), "\0\0\0\0\x02\x08\x02");
    let pages = format!(
        "root {here}/pages; default_type text/plain; gzip on; gzip_min_length 1; gzip_types *; gzip_http_version 1.0; \
         gzip_proxied any; location = /away {{ return 302 /page; }} location = /round {{ return 302 /round; }} \
         location = /plain {{ return 302 http://{at}:8080/page; }} location = /gone {{ return 410 gone; }} \
         location = /old {{ add_header Via old; return 200 old; }}"
    );
    let grpc = |folder: &str| {
        format!(
            "root {here}/{folder}; default_type application/grpc; error_page 405 =200 $uri; add_trailer grpc-status 0 always;"
        )
    };
    let tls = format!("ssl_certificate {here}/cert.pem; ssl_certificate_key {here}/key.pem;");
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {here}/{name};"))
        .concat();
    let configuration = format!(
        "pid {here}/pid; error_log {here}/error.log; worker_processes 1; daemon off; events {{}}\n\
         http {{ access_log off; {temporary}\n\
         server {{ listen {at}:8080; {pages} }}\n\
         server {{ listen {at}:8443 ssl http2; {tls} {pages} }}\n\
         server {{ listen {at}:8081 http2; {} }}\n\
         server {{ listen {at}:8082 http2; {} }}\n\
         server {{ listen {at}:8444 ssl http2; {tls} {} }}\n}}\n",
        grpc("serving"),
        grpc("idle"),
        grpc("serving"),
    );
    let file = folder.write("nginx.conf", &configuration).display().to_string();
    if is_root() {
        // Its worker is another user.
        done("chmod", &["-R", "a+rX", &here]);
    }
    start(folder, at, 8080, true, "/usr/sbin/nginx", &["-p", &here, "-c", &file])
}

/// PostgreSQL with a user for each way to sign in: `scram`, `md5`, `clear` and `trust`; the passwords are `s3cret`.
pub fn postgresql(certificate: &str, key: &str) -> Server {
    let bin = Path::new("/usr/lib/postgresql/15/bin");
    must_have("/usr/lib/postgresql/15/bin/initdb", "postgresql");
    let (folder, at) = (Folder::new("postgresql"), own_address());
    let here = folder.path().display().to_string();
    let data = format!("{here}/data");
    let initdb = bin.join("initdb").display().to_string();
    let postgres = bin.join("postgres").display().to_string();
    // It refuses to run as root.
    let prefix: &[&str] = if is_root() { &["runuser", "-u", "postgres", "--"] } else { &[] };
    if is_root() {
        done("chown", &["postgres", &here]);
    }
    let run = |arguments: &[&str]| {
        let all: Vec<&str> = prefix.iter().chain(arguments).copied().collect();
        done(all[0], &all[1..]);
    };
    run(&[&initdb, "-D", &data, "-U", "admin", "-A", "trust", "-N"]);
    folder.write("data/cert.pem", certificate);
    folder.write("data/key.pem", key);
    folder.write("data/pg_hba.conf", "host all scram all scram-sha-256\nhost all md5 all md5\nhost all clear all password\nhost all trust,admin all trust\nlocal all all trust\n");
    let sql = folder.write(
        "start.sql",
        "create role scram login password 's3cret'; set password_encryption = 'md5'; create role md5 login password 's3cret'; \
         create role clear login password 's3cret'; create role trust login;",
    );
    for file in ["data/cert.pem", "data/key.pem", "data/pg_hba.conf", "start.sql"] {
        let file = folder.path().join(file).display().to_string();
        done("chmod", &["600", &file]);
        if is_root() {
            done("chown", &["postgres", &file]);
        }
    }
    let options = [
        "-D".to_owned(),
        data,
        "-p".into(),
        "5432".into(),
        "-c".into(),
        format!("listen_addresses={at}"),
        "-c".into(),
        format!("unix_socket_directories={here}"),
        "-c".into(),
        "ssl=on".into(),
        "-c".into(),
        "ssl_cert_file=cert.pem".into(),
        "-c".into(),
        "ssl_key_file=key.pem".into(),
        "-c".into(),
        "fsync=off".into(),
    ];
    let all: Vec<&str> =
        prefix.iter().copied().chain([postgres.as_str()]).chain(options.iter().map(String::as_str)).collect();
    let server = start(folder, at, 5432, true, all[0], &all[1..]);
    let psql = bin.join("psql").display().to_string();
    let arguments =
        ["-h", &here, "-U", "admin", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-q", "-f", &sql.display().to_string()];
    wait_until("the users of PostgreSQL are made", || {
        let all: Vec<&str> = prefix.iter().copied().chain([psql.as_str()]).chain(arguments).collect();
        Command::new(all[0]).args(&all[1..]).output().is_ok_and(|it| it.status.success())
    });
    server
}

/// MariaDB with the user `probe`, whose password is `s3cret`.
pub fn mariadb(certificate: &str, key: &str) -> Server {
    must_have("/usr/sbin/mariadbd", "mariadb-server");
    let (folder, at) = (Folder::new("mariadb"), own_address());
    let here = folder.path().display().to_string();
    let (certificate, key) = (folder.write("cert.pem", certificate), folder.write("key.pem", key));
    let (data, user) = (format!("--datadir={here}/data"), if is_root() { "root" } else { "" });
    let user = if user.is_empty() { "--skip-name-resolve".to_owned() } else { format!("--user={user}") };
    done(
        "mariadb-install-db",
        &["--no-defaults", &data, &user, "--auth-root-authentication-method=normal", "--skip-test-db"],
    );
    let init = folder.write("init.sql", "create user if not exists 'probe'@'%' identified by 's3cret';\n");
    let options = [
        "--no-defaults".to_owned(),
        data,
        user,
        "--port=3306".into(),
        format!("--bind-address={at}"),
        format!("--socket={here}/socket"),
        format!("--pid-file={here}/pid"),
        format!("--ssl-cert={}", certificate.display()),
        format!("--ssl-key={}", key.display()),
        format!("--init-file={}", init.display()),
        "--innodb-flush-log-at-trx-commit=0".into(),
    ];
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    start(folder, at, 3306, true, "/usr/sbin/mariadbd", &options)
}

/// A resolver with answers of its own for `watchbell.test`: over TLS at 8853, over HTTPS at 8443, in clear text at 5353.
pub fn unbound(certificate: &str, key: &str) -> Server {
    must_have("/usr/sbin/unbound", "unbound");
    let (folder, at) = (Folder::new("unbound"), own_address());
    let (certificate, key) = (folder.write("cert.pem", certificate), folder.write("key.pem", key));
    let text = format!(
        "server:\n  interface: {at}@5353\n  interface: {at}@8853\n  interface: {at}@8443\n  tls-port: 8853\n  \
         https-port: 8443\n  tls-service-pem: \"{}\"\n  tls-service-key: \"{}\"\n  access-control: 127.0.0.0/8 allow\n  \
         do-daemonize: no\n  username: \"\"\n  chroot: \"\"\n  directory: \"{}\"\n  pidfile: \"\"\n  use-syslog: no\n  \
         num-threads: 1\n  module-config: iterator\n  local-zone: \"watchbell.test.\" static\n  \
         local-data: \"mail.watchbell.test. A 192.0.2.1\"\n  local-data: 'watchbell.test. TXT \"v=spf1 mx -all\"'\n  \
         local-zone: \"kept.test.\" refuse\nremote-control:\n  control-enable: no\n",
        certificate.display(),
        key.display(),
        folder.path().display()
    );
    let file = folder.write("unbound.conf", &text).display().to_string();
    start(folder, at, 8853, true, "/usr/sbin/unbound", &["-d", "-p", "-c", &file])
}

/// The Python library `websockets` as a server at 8080, over TLS at 8443, with an nginx before it: at 8081 one that hands
/// WebSockets on, at 8082 one that was not told to.
pub fn websockets(certificate: &str, key: &str) -> (Server, Server) {
    must_have("/usr/lib/python3/dist-packages/websockets", "python3-websockets");
    must_have("/usr/sbin/nginx", "nginx-light");
    let (folder, at) = (Folder::new("websockets"), own_address());
    folder.write("cert.pem", certificate);
    folder.write("key.pem", key);
    let program = folder.write("server.py", WEBSOCKETS).display().to_string();
    let here = folder.path().display().to_string();
    let server = start(folder, at, 8443, true, "/usr/bin/python3", &[&program, &at.to_string(), &here]);
    let folder = Folder::new("websockets-nginx");
    let here = folder.path().display().to_string();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {here}/{name};"))
        .concat();
    let upgrade =
        "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";
    let configuration = format!(
        "pid {here}/pid; error_log {here}/error.log; worker_processes 1; daemon off; events {{}}\n\
         http {{ access_log off; {temporary}\n\
         server {{ listen {at}:8081; location / {{ proxy_pass http://{at}:8080; {upgrade} }} }}\n\
         server {{ listen {at}:8082; location / {{ proxy_pass http://{at}:8080; }} }}\n\
         server {{ listen {at}:8083; location / {{ proxy_pass http://{at}:9; {upgrade} }} }}\n}}\n"
    );
    let file = folder.write("nginx.conf", &configuration).display().to_string();
    if is_root() {
        done("chmod", &["-R", "a+rX", &here]);
    }
    (server, start(folder, at, 8081, true, "/usr/sbin/nginx", &["-p", &here, "-c", &file]))
}

/// Greets, and says again in capitals what it hears; `/key` wants a token, `/closes` closes at once, `/mute` says nothing.
const WEBSOCKETS: &str = r#"
import asyncio, http, ssl, sys
import websockets

async def serve(socket, path):
    if path == "/closes":
        return await socket.close(4001, "under maintenance")
    if path != "/mute":
        await socket.send("welcome to " + (socket.subprotocol or "nothing"))
    async for message in socket:
        await socket.send(message.upper())

async def ask(path, headers):
    if path == "/key" and headers.get("Authorization") != "Bearer s3cret":
        return (http.HTTPStatus.UNAUTHORIZED, [], b"who are you?\n")

async def main():
    at, here = sys.argv[1:]
    secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    secure.load_cert_chain(here + "/cert.pem", here + "/key.pem")
    known = {"subprotocols": ["chat"], "process_request": ask}
    async with websockets.serve(serve, at, 8080, **known), websockets.serve(serve, at, 8443, ssl=secure, **known):
        await asyncio.Future()

asyncio.run(main())
"#;

/// MySQL of a newer Debian, whose users sign in by `caching_sha2_password`: `probe` with the password `s3cret`. `None` where
/// it could not be fetched.
pub fn mysql(certificate: &str, key: &str) -> Option<Server> {
    let there = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/mysql-server-core/usr");
    let there = there.canonicalize().ok().filter(|there| there.join("sbin/mysqld").exists());
    let Some(there) = there else {
        eprintln!("skipped: there is no MySQL in target/peers (cargo xtask test fetches it)");
        return None;
    };
    let (folder, at) = (Folder::new("mysql"), own_address());
    let here = folder.path().display().to_string();
    let (certificate, key) = (folder.write("cert.pem", certificate), folder.write("key.pem", key));
    let init = folder.write("init.sql", "create user if not exists 'probe'@'%' identified by 's3cret';\n");
    // It comes with libraries of its own, the C library among them.
    let loader = there.join("lib64/ld-linux-x86-64.so.2").display().to_string();
    let (libraries, program) = (there.join("lib/x86_64-linux-gnu"), there.join("sbin/mysqld"));
    let mut options = vec![
        "--library-path".to_owned(),
        libraries.display().to_string(),
        program.display().to_string(),
        "--no-defaults".into(),
        format!("--basedir={}", there.display()),
        format!("--datadir={here}/data"),
    ];
    if is_root() {
        options.push("--user=root".into());
    }
    let run: Vec<&str> = options.iter().map(String::as_str).chain(["--initialize-insecure"]).collect();
    done(&loader, &run);
    options.extend([
        "--port=3306".into(),
        format!("--bind-address={at}"),
        format!("--socket={here}/socket"),
        format!("--pid-file={here}/pid"),
        "--mysqlx=off".into(),
        // No folder of the machine.
        "--secure-file-priv=".into(),
        format!("--ssl-cert={}", certificate.display()),
        format!("--ssl-key={}", key.display()),
        format!("--init-file={}", init.display()),
        "--innodb-flush-log-at-trx-commit=0".into(),
    ]);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    Some(start(folder, at, 3306, true, &loader, &options))
}
