//! Scrape configurations: those of the main file and those of `scrape_config_files`, with the defaults of `global`.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use watchbell_model::{Path as Place, Problem, Problems};
use watchbell_runtime::Runtime;
use watchbell_sources::scrape::{ScrapeConfig, ScrapeDefaults};

use super::files::{Files, expand};
use super::report::Finding;
use super::{Config, GlobalConfig, decode, report};

/// A file that `scrape_config_files` names.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ScrapeFile {
    /// Jobs, as in the main file.
    #[serde(default)]
    scrape_configs: Vec<ScrapeConfig>,
}

/// Puts the jobs of other files behind those of the main one, and fills in what `global` says for all.
pub(super) fn complete(config: &mut Config, files: &mut Files, runtime: &Runtime, base: &Path) {
    for pattern in config.scrape_config_files.clone() {
        let found = read(&pattern, files, runtime, base);
        config.scrape_configs.extend(found);
    }
    let defaults = config.global.scrape_defaults();
    for scrape in &mut config.scrape_configs {
        scrape.fill(&defaults);
    }
}

fn read(pattern: &str, files: &mut Files, runtime: &Runtime, base: &Path) -> Vec<ScrapeConfig> {
    let schema = schemars::schema_for!(ScrapeFile).to_value();
    if pattern.contains('*') {
        files.folders.extend(base.join(pattern).parent().map(Path::to_owned));
    }
    let paths = expand(runtime, &base.join(pattern));
    if paths.is_empty() {
        let path = Place::root().field("scrape_config_files");
        let message = format!("no file fits `{pattern}`, so that no job of it is scraped");
        let hint = Some("`*` stands for any part of a file's own name, not for folders".into());
        let problem = Problem { level: watchbell_model::Level::Warning, path, message, hint };
        let file = files.names.first().cloned().unwrap_or_default();
        files.findings.push(Finding { file, line: 0, column: 0, problem });
    }
    let mut all = Vec::new();
    for path in paths {
        let first = files.names.len();
        let Some(node) = files.read(runtime, &path) else { continue };
        let mut problems = Problems::new();
        let json = decode::decode(&node, &schema, &Place::root(), &mut problems);
        if !problems.has_errors() {
            match serde_json::from_value::<ScrapeFile>(json) {
                Ok(mut file) => {
                    // Files that a job names stand beside the file that has the job.
                    let folder = path.parent().unwrap_or(Path::new(""));
                    file.scrape_configs.iter_mut().for_each(|scrape| scrape.anchor(folder));
                    all.append(&mut file.scrape_configs);
                }
                Err(error) => {
                    problems.error(&Place::root(), error.to_string());
                }
            }
        }
        let mut names = files.names.clone();
        names.truncate(first + 1);
        files.findings.extend(report::locate(problems, &node, &names));
    }
    all
}

impl GlobalConfig {
    /// What holds for jobs that do not say otherwise.
    pub fn scrape_defaults(&self) -> ScrapeDefaults {
        ScrapeDefaults {
            scrape_interval: Some(self.scrape_interval),
            scrape_timeout: self.scrape_timeout,
            scrape_protocols: self.scrape_protocols.clone(),
            body_size_limit: self.body_size_limit,
            sample_limit: self.sample_limit,
            label_limit: self.label_limit,
            label_name_length_limit: self.label_name_length_limit,
            label_value_length_limit: self.label_value_length_limit,
            target_limit: self.target_limit,
            keep_dropped_targets: self.keep_dropped_targets,
            metric_name_validation_scheme: self.metric_name_validation_scheme,
            metric_name_escaping_scheme: self.metric_name_escaping_scheme,
            scrape_native_histograms: Some(self.scrape_native_histograms),
            convert_classic_histograms_to_nhcb: Some(self.convert_classic_histograms_to_nhcb),
            always_scrape_classic_histograms: Some(self.always_scrape_classic_histograms),
            extra_scrape_metrics: Some(self.extra_scrape_metrics),
        }
    }
}
