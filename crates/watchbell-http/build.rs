//! Builds the UI with npm and writes the table of its files, so that the binary carries them.
//!
//! Writes only into `OUT_DIR` and `web/node_modules`. Without npm, or when it fails, the build goes on with a warning
//! and the binary serves a page that says how to get the UI.

#![expect(clippy::disallowed_methods, reason = "a build script works on files; nothing of it runs in watchbell")]

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

fn main() {
    let web = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("../../web");
    for watched in ["src", "static", "package.json", "package-lock.json", "build.mjs", "tsconfig.json"] {
        println!("cargo:rerun-if-changed={}", web.join(watched).display());
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let dist = out.join("web");
    let built = build(&web, &dist);
    if let Err(reason) = &built {
        println!("cargo:warning=the web UI is not part of this build: {reason}");
        // A file that never is there: the next build tries again, since npm may have been installed meanwhile.
        println!("cargo:rerun-if-changed={}", out.join("never").display());
    }
    let table = if built.is_ok() { table(&dist) } else { NONE.to_owned() };
    fs::write(out.join("assets.rs"), table).expect("OUT_DIR can be written");
}

const NONE: &str = "const ENTRY: Option<Entry> = None;\nconst FILES: &[File] = &[];\n";

fn build(web: &Path, dist: &Path) -> Result<(), String> {
    let lock = fs::read(web.join("package-lock.json")).map_err(|error| format!("web/package-lock.json: {error}"))?;
    let installed = web.join("node_modules/.watchbell-lock.json");
    if fs::read(&installed).ok().as_deref() != Some(&lock[..]) {
        npm(web, &["ci", "--no-audit", "--no-fund", "--ignore-scripts"])?;
        fs::write(&installed, &lock).map_err(|error| error.to_string())?;
    }
    npm(web, &["run", "--silent", "build", "--", &format!("--out={}", dist.display())])
}

fn npm(web: &Path, arguments: &[&str]) -> Result<(), String> {
    let name = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let output = Command::new(name).args(arguments).current_dir(web).output();
    let output = output.map_err(|error| format!("npm cannot be run ({error}); install Node.js 20 or later"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned();
    Err(format!("`npm {}` failed: {said}", arguments.join(" ")))
}

/// Rust source that embeds each file with its compressed twin.
fn table(dist: &Path) -> String {
    let entry = fs::read_to_string(dist.join("entry.txt")).expect("the build writes it");
    let of = |kind: &str| {
        entry.lines().find_map(|line| line.strip_prefix(kind)?.strip_prefix(' ')).expect("the build names every entry")
    };
    let mut source = format!(
        "const ENTRY: Option<Entry> = Some(Entry {{ script: {:?}, shared: {:?}, style: {:?}, page: {:?} }});\n",
        of("script"),
        of("shared"),
        of("style"),
        of("page")
    );
    let mut names: Vec<String> = fs::read_dir(dist)
        .expect("the build makes it")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.ends_with(".js") || name.ends_with(".css"))
        .collect();
    names.sort();
    source.push_str("const FILES: &[File] = &[\n");
    for name in names {
        let path = dist.join(&name);
        let kind = if name.ends_with(".js") { "text/javascript; charset=utf-8" } else { "text/css; charset=utf-8" };
        let gzip = format!("{}.gz", path.display());
        writeln!(
            source,
            "    File {{ name: {name:?}, kind: {kind:?}, plain: include_bytes!({:?}), gzip: Some(include_bytes!({gzip:?})) }},",
            path.display().to_string()
        )
        .expect("a string takes it");
    }
    source.push_str("];\n");
    source
}
