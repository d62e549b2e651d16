//! Requests in, what the store is given and what the sender is told out.

use std::fmt::Write;
use std::sync::{Arc, Mutex};

use expect_test::{Expect, expect};
use watchbell_model::{
    Append, AppendError, Appended, Batch, BoxFuture, Labels, Metadata, MetricType, Sample, SeriesKey, SeriesRef,
    Timestamp,
};
use watchbell_runtime::sim;
use watchbell_wire::remote_write::{Outgoing, Version, v1, v2};

use super::*;

/// A store that knows series by references and can be told to forget them.
#[derive(Default)]
struct Store {
    series: Mutex<Vec<Labels>>,
    /// References below this one are not known any more.
    from: Mutex<u64>,
    said: Mutex<String>,
}

impl Append for Store {
    fn append(&self, batch: Batch) -> BoxFuture<'_, Result<Appended, AppendError>> {
        let (mut series, mut out, from) =
            (self.series.lock().unwrap(), self.said.lock().unwrap(), *self.from.lock().unwrap());
        let mut appended = Appended::default();
        for key in &batch.series {
            appended.refs.push(match key {
                SeriesKey::Known(at) if at.0 < from => None,
                SeriesKey::Known(at) => Some(*at),
                SeriesKey::Labels(labels) => {
                    writeln!(out, "{}: {labels} is new", batch.source).unwrap();
                    series.push(labels.clone());
                    Some(SeriesRef(series.len() as u64 - 1))
                }
            });
        }
        for sample in &batch.samples {
            match appended.refs[sample.series as usize] {
                None => appended.unknown += 1,
                Some(at) => {
                    appended.kept += 1;
                    writeln!(out, "{}: {} {}", batch.source, series[at.0 as usize], sample.value).unwrap();
                }
            }
        }
        for (metric, _) in &batch.metadata {
            writeln!(out, "{}: {metric} is described", batch.source).unwrap();
        }
        Box::pin(async move { Ok(appended) })
    }
}

struct Door {
    intake: Intake,
    store: Arc<Store>,
    out: String,
}

impl Door {
    /// Pushes metrics of these names with this value.
    async fn push(&mut self, version: Version, names: &[&str], value: f64) {
        let samples = [Sample { timestamp: Timestamp(1), value }];
        let metadata = Metadata { kind: MetricType::Gauge, ..Metadata::default() };
        let (mut first, mut second) = (v1::Writer::new(), v2::Writer::new());
        for name in names {
            let labels = Labels::metric(name, &[("job", "a")]);
            let outgoing = Outgoing { metadata: Some(&metadata), ..Outgoing::of(&labels, &samples) };
            first.series(&outgoing);
            first.metadata(name, &metadata);
            second.series(&outgoing);
        }
        let body = if version == Version::V1 { first.finish() } else { second.finish() };
        let written = self.intake.remote_write(version, &body, None).await.unwrap();
        self.out += &std::mem::take(&mut *self.store.said.lock().unwrap());
        writeln!(self.out, "{version:?}: {} written, {} refused", written.samples, written.refused).unwrap();
    }

    fn forget(&mut self) {
        *self.store.from.lock().unwrap() = self.store.series.lock().unwrap().len() as u64;
        self.out += "(the store forgets)\n";
    }
}

fn check<F: Future<Output = Door>>(scenario: impl FnOnce(Door) -> F, expected: Expect) {
    sim::run(1, |world| async move {
        let store = Arc::new(Store::default());
        let door = Door { intake: Intake::new(&world.runtime(), store.clone()), store, out: String::new() };
        expected.assert_eq(&scenario(door).await.out);
    });
}

#[test]
fn a_series_is_looked_into_once() {
    check(
        |mut door| async {
            door.push(Version::V1, &["x", "y"], 1.0).await;
            door.push(Version::V1, &["y", "z", "x"], 2.0).await;
            door.push(Version::V2, &["x"], 3.0).await;
            door.push(Version::V2, &["z", "x"], 4.0).await;
            door
        },
        expect![[r#"
            remote_write: x{job="a"} is new
            remote_write: y{job="a"} is new
            remote_write: x{job="a"} 1
            remote_write: y{job="a"} 1
            remote_write: x is described
            remote_write: y is described
            V1: 2 written, 0 refused
            remote_write: z{job="a"} is new
            remote_write: y{job="a"} 2
            remote_write: z{job="a"} 2
            remote_write: x{job="a"} 2
            remote_write: z is described
            V1: 3 written, 0 refused
            remote_write: x{job="a"} is new
            remote_write: x{job="a"} 3
            V2: 1 written, 0 refused
            remote_write: z{job="a"} is new
            remote_write: z{job="a"} 4
            remote_write: x{job="a"} 4
            V2: 2 written, 0 refused
        "#]],
    );
}

#[test]
fn what_the_store_forgot_is_told_again_by_its_labels() {
    check(
        |mut door| async {
            door.push(Version::V1, &["x", "y"], 1.0).await;
            door.forget();
            door.push(Version::V1, &["new", "y", "x"], 2.0).await;
            door.push(Version::V1, &["x", "y"], 3.0).await;
            door.push(Version::V2, &["x"], 4.0).await;
            door.forget();
            door.push(Version::V2, &["x", "y"], 5.0).await;
            door
        },
        expect![[r#"
            remote_write: x{job="a"} is new
            remote_write: y{job="a"} is new
            remote_write: x{job="a"} 1
            remote_write: y{job="a"} 1
            remote_write: x is described
            remote_write: y is described
            V1: 2 written, 0 refused
            (the store forgets)
            remote_write: new{job="a"} is new
            remote_write: new{job="a"} 2
            remote_write: new is described
            remote_write: y{job="a"} is new
            remote_write: x{job="a"} is new
            remote_write: y{job="a"} 2
            remote_write: x{job="a"} 2
            V1: 3 written, 0 refused
            remote_write: x{job="a"} 3
            remote_write: y{job="a"} 3
            V1: 2 written, 0 refused
            remote_write: x{job="a"} is new
            remote_write: x{job="a"} 4
            V2: 1 written, 0 refused
            (the store forgets)
            remote_write: y{job="a"} is new
            remote_write: y{job="a"} 5
            remote_write: x{job="a"} is new
            remote_write: x{job="a"} 5
            V2: 2 written, 0 refused
        "#]],
    );
}

#[test]
fn senders_that_name_themselves_have_a_source_of_their_own() {
    sim::run(1, |world| async move {
        let intake = Intake::new(&world.runtime(), Arc::new(Store::default()));
        let source = |sender: &str| intake.source("remote_write", Some(sender)).to_string();
        assert_eq!(&*intake.source("remote_write", None), "remote_write");
        assert_eq!(source("dc-1.prod_2"), "remote_write/dc-1.prod_2");
        for bad in ["", "a/b", "a\nb", "é", &"x".repeat(65)] {
            assert_eq!(source(bad), "remote_write", "{bad}");
        }
        (0..SENDERS_MAX).for_each(|number| drop(source(&number.to_string())));
        assert_eq!(source("one-too-many"), "remote_write");
        assert_eq!(source("dc-1.prod_2"), "remote_write/dc-1.prod_2");
    });
}

#[test]
fn a_request_has_a_bound() {
    sim::run(1, |world| async move {
        let intake = Intake::new(&world.runtime(), Arc::new(Store::default()));
        let samples = vec![Sample { timestamp: Timestamp(1), value: 1.0 }; REQUEST_SAMPLES_MAX + 1];
        let mut writer = v1::Writer::new();
        writer.series(&Outgoing::of(&Labels::metric("x", &[]), &samples));
        let error = intake.remote_write(Version::V1, &writer.finish(), None).await.unwrap_err();
        assert_eq!(error.to_string(), "a request may have 500000 samples at most");
    });
}
