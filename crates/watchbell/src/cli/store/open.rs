//! The store that a command is about: the data folder, if nobody has it, or the watchbell that has.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use tokio::runtime::Handle;
use watchbell_model::{
    Append, Batch, Checkup, Cleaned, Deleted, Figures, Import, Imported, Matcher, Query, QueryError, Series, Snapshot,
    Timestamp, Upkeep, UpkeepError,
};
use watchbell_runtime::Runtime;
use watchbell_store::{DataDir, MetricStore, OpenError};
use watchbell_wire::bulk::{BulkError, BulkFormat, Reader, Writer};

use super::super::Files;
use super::super::reach::{self, Api};

/// How much text one request of an import carries.
const IMPORT_BYTES: usize = 6 << 20;
const DAY: i64 = 86_400_000;

pub(super) enum Store {
    /// Nobody else has it.
    Here { store: MetricStore, found: Vec<String>, _data: DataDir },
    /// A watchbell runs.
    There(Box<Api>),
}

impl Store {
    pub(super) async fn open(
        runtime: &Runtime,
        files: &Files,
        data: Option<PathBuf>,
        url: Option<&str>,
    ) -> Result<Store> {
        if let Some(url) = url {
            return Ok(Store::There(Box::new(Api::at(runtime, url)?)));
        }
        let (config, folder) = reach::folder(runtime, files, data).await;
        if !runtime.disk.is_dir(&folder) {
            bail!("{} is not the data folder of a watchbell; name it with --data", folder.display());
        }
        match DataDir::claim(&folder, config.storage.allow_network_filesystem) {
            Ok(data) => {
                let metrics = config.storage.metrics_in(data.path())?;
                let (store, report) = MetricStore::open(runtime, &data.path().join("metrics"), metrics)?;
                Ok(Store::Here { store, found: report.damaged, _data: data })
            }
            Err(OpenError::InUse(words)) => {
                let api = Api::here(runtime, &config, &folder, "store").await;
                Ok(Store::There(Box::new(api.with_context(|| words)?)))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// What was damaged and set aside when it was opened.
    pub(super) fn found_at_start(&self) -> &[String] {
        match self {
            Store::Here { found, .. } => found,
            Store::There(_) => &[],
        }
    }

    /// Keeps what is told beside samples.
    pub(super) async fn tell(&self, batch: Batch) -> Result<()> {
        match self {
            Store::Here { store, .. } => _ = store.append(batch).await?,
            // Text is the form in which a running one takes it.
            Store::There(api) => {
                let mut text = String::new();
                for (metric, it) in &batch.metadata {
                    let kind = it.kind.as_str().replace("unknown", "untyped");
                    text += &format!("# HELP {metric} {}\n# TYPE {metric} {kind}\n", it.help.replace('\n', "\\n"));
                }
                api.ask("POST", "/api/v1/import/prometheus", text.into_bytes()).await.map_err(anyhow::Error::msg)?;
            }
        }
        Ok(())
    }

    /// Lets go.
    pub(super) async fn close(self) {
        match self {
            Store::Here { store, .. } => store.close(),
            Store::There(api) => api.close().await,
        }
    }

    fn upkeep(&self) -> &dyn Upkeep {
        match self {
            Store::Here { store, .. } => store,
            Store::There(api) => &**api,
        }
    }
}

impl Upkeep for Store {
    fn figures(&self, top: usize, history: bool) -> Result<Figures, UpkeepError> {
        self.upkeep().figures(top, history)
    }
    fn check(&self, deep: bool) -> Result<Checkup, UpkeepError> {
        self.upkeep().check(deep)
    }
    fn delete(
        &self,
        matchers: &[Vec<Matcher>],
        start: Timestamp,
        end: Timestamp,
        dry_run: bool,
    ) -> Result<Deleted, UpkeepError> {
        self.upkeep().delete(matchers, start, end, dry_run)
    }
    fn clean(&self) -> Result<Cleaned, UpkeepError> {
        self.upkeep().clean()
    }
    fn snapshot(&self, name: &str) -> Result<Snapshot, UpkeepError> {
        self.upkeep().snapshot(name)
    }
    fn import(&self) -> Result<Box<dyn Import + '_>, UpkeepError> {
        self.upkeep().import()
    }
}

impl Query for Store {
    fn select(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Series>, QueryError> {
        match self {
            Store::Here { store, .. } => store.select(matchers, start, end),
            Store::There(api) => api.export(matchers, start, end),
        }
    }

    fn each(
        &self,
        matchers: &[Matcher],
        start: Timestamp,
        end: Timestamp,
        visit: &mut dyn FnMut(Series) -> std::ops::ControlFlow<()>,
    ) -> Result<(), QueryError> {
        match self {
            Store::Here { store, .. } => store.each(matchers, start, end, visit),
            Store::There(api) => {
                // A day at a time, so that one answer stays within bounds.
                let parts = api.figures(0, true).map_err(|error| QueryError::Unavailable(error.to_string()))?.parts;
                let oldest = parts.iter().filter_map(|part| part.range).map(|(first, _)| first.0).min();
                let now = api.runtime.clock.now().0;
                let (mut from, end) = (oldest.unwrap_or(now - DAY).max(start.0), end.0.min(now + DAY));
                while from <= end {
                    let to = ((from.div_euclid(DAY) + 1) * DAY - 1).min(end);
                    for series in api.export(matchers, Timestamp(from), Timestamp(to))? {
                        if visit(series).is_break() {
                            return Ok(());
                        }
                    }
                    from = to + 1;
                }
                Ok(())
            }
        }
    }
}

impl Api {
    /// As [`Api::ask`], from where nothing may be awaited.
    fn wait(&self, method: &str, path: &str, body: Vec<u8>) -> Result<Vec<u8>, UpkeepError> {
        let asked = tokio::task::block_in_place(|| Handle::current().block_on(self.ask(method, path, body)));
        asked.map_err(UpkeepError::Refused)
    }

    fn read<T: DeserializeOwned>(&self, method: &str, path: &str) -> Result<T, UpkeepError> {
        let body = self.wait(method, path, Vec::new())?;
        serde_json::from_slice(&body).map_err(|error| UpkeepError::Failed(format!("its answer is not ours: {error}")))
    }

    fn export(&self, matchers: &[Matcher], start: Timestamp, end: Timestamp) -> Result<Vec<Series>, QueryError> {
        let failed = |words: String| QueryError::Unavailable(words);
        let path = format!("/api/v1/export?{}", which(std::slice::from_ref(&matchers.to_vec()), start, end));
        let body = self.wait("GET", &path, Vec::new()).map_err(|error| failed(error.to_string()))?;
        let (mut all, mut reader) = (Vec::new(), Reader::new(BulkFormat::Lines, Timestamp(0)));
        let mut take = |series| {
            all.push(series);
            Ok::<(), BulkError>(())
        };
        let read = reader.feed(&body, &mut take).and_then(|()| reader.finish(&mut take));
        read.map_err(|error| failed(error.to_string()))?;
        Ok(all)
    }
}

/// The parameters for series and times.
fn which(matchers: &[Vec<Matcher>], start: Timestamp, end: Timestamp) -> String {
    let mut out = format!("start={}&end={}", start.as_seconds(), end.as_seconds());
    for set in matchers {
        let set: Vec<String> = set.iter().map(Matcher::to_string).collect();
        out += "&match%5B%5D=";
        for byte in format!("{{{}}}", set.join(",")).bytes() {
            let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            out += &if plain { char::from(byte).to_string() } else { format!("%{byte:02X}") };
        }
    }
    out
}

impl Upkeep for Api {
    fn figures(&self, top: usize, _: bool) -> Result<Figures, UpkeepError> {
        self.read("GET", &format!("/api/watchbell/v1/store?limit={}", top.max(1)))
    }
    fn check(&self, deep: bool) -> Result<Checkup, UpkeepError> {
        self.read("GET", &format!("/api/watchbell/v1/store/check?deep={deep}"))
    }
    fn delete(
        &self,
        matchers: &[Vec<Matcher>],
        start: Timestamp,
        end: Timestamp,
        dry_run: bool,
    ) -> Result<Deleted, UpkeepError> {
        let which = which(matchers, start, end);
        self.read("POST", &format!("/api/watchbell/v1/store/delete?dry_run={dry_run}&{which}"))
    }
    fn clean(&self) -> Result<Cleaned, UpkeepError> {
        self.read("POST", "/api/watchbell/v1/store/clean")
    }
    fn snapshot(&self, name: &str) -> Result<Snapshot, UpkeepError> {
        #[derive(serde::Deserialize)]
        struct Answer {
            data: Snapshot,
        }
        let answer: Answer = self.read("POST", &format!("/api/v1/admin/tsdb/snapshot?name={name}"))?;
        Ok(answer.data)
    }
    fn import(&self) -> Result<Box<dyn Import + '_>, UpkeepError> {
        Ok(Box::new(Sending { api: self, text: String::new(), done: Imported::default() }))
    }
}

/// An import that a running watchbell does.
struct Sending<'a> {
    api: &'a Api,
    text: String,
    done: Imported,
}

impl Sending<'_> {
    fn send(&mut self) -> Result<(), UpkeepError> {
        #[derive(serde::Deserialize)]
        struct Answer {
            data: Data,
        }
        #[derive(serde::Deserialize)]
        struct Data {
            imported: Imported,
        }
        let text = std::mem::take(&mut self.text);
        if text.is_empty() {
            return Ok(());
        }
        let body = self.api.wait("POST", "/api/v1/import", text.into_bytes())?;
        let answer = serde_json::from_slice::<Answer>(&body);
        let imported = answer.map_err(|error| UpkeepError::Failed(error.to_string()))?.data.imported;
        let done = &mut self.done;
        done.added += imported.added;
        done.known += imported.known;
        done.different += imported.different;
        done.too_old += imported.too_old;
        done.too_new += imported.too_new;
        done.invalid += imported.invalid;
        done.example = done.example.take().or(imported.example);
        Ok(())
    }
}

impl Import for Sending<'_> {
    fn add(&mut self, series: Series) -> Result<(), UpkeepError> {
        let text = &mut self.text;
        Writer::new(BulkFormat::Lines).write(&series, text);
        if text.len() >= IMPORT_BYTES { self.send() } else { Ok(()) }
    }

    fn so_far(&self) -> Imported {
        self.done.clone()
    }

    fn finish(mut self: Box<Self>) -> Result<Imported, UpkeepError> {
        self.send()?;
        Ok(self.done)
    }
}
