//! The values of series over the steps of a query, and the making of series with equal labels one.

use std::collections::HashMap;
use std::sync::Arc;

use watchbell_model::{Histogram, HistogramSample, Labels, Sample, Series, Timestamp};

use super::EvalError;
use super::keys::LabelHash;

/// The steps of an evaluation: `start`, `start + step`, …, `count` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) start: i64,
    pub(super) step: i64,
    pub(super) count: usize,
}

impl Grid {
    /// The moment of a step.
    #[inline]
    pub(super) fn at(&self, step: usize) -> i64 {
        self.start.saturating_add(self.step.saturating_mul(step as i64))
    }

    /// The moment of the last step.
    pub(super) fn last(&self) -> i64 {
        self.at(self.count.saturating_sub(1))
    }
}

/// "No value at this step": a signalling NaN with a payload of our own, which no operation gives and no store keeps.
const ABSENT_BITS: u64 = 0x7ff4_0000_0000_0ab5;

/// The mark for a step without a value.
pub(super) fn absent() -> f64 {
    f64::from_bits(ABSENT_BITS)
}

/// Whether a step has a value, which may be NaN.
pub(super) fn is_present(value: f64) -> bool {
    value.to_bits() != ABSENT_BITS
}

/// One series' values, one for each step.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) labels: Labels,
    /// Whether the name and the metadata labels are to be dropped when the whole query is done: until then they can
    /// still be grouped by and matched on.
    pub(super) drop_name: bool,
    pub(super) values: Vec<f64>,
    /// The steps whose value is a histogram, which have none in `values`; empty where there is no such step.
    pub(super) histograms: Vec<Option<Arc<Histogram>>>,
}

impl Column {
    pub(super) fn new(labels: Labels, values: Vec<f64>) -> Column {
        Column { labels, drop_name: false, values, histograms: Vec::new() }
    }

    /// Whether any step has a value.
    pub(super) fn has_values(&self) -> bool {
        self.values.iter().any(|value| is_present(*value)) || self.histograms.iter().any(Option::is_some)
    }

    /// Whether a step has a value, of whatever kind.
    pub(super) fn has(&self, step: usize) -> bool {
        is_present(self.values[step]) || self.histogram(step).is_some()
    }

    /// The histogram at a step.
    pub(super) fn histogram(&self, step: usize) -> Option<&Arc<Histogram>> {
        self.histograms.get(step)?.as_ref()
    }

    /// Makes a histogram the value of a step that has none.
    pub(super) fn set_histogram(&mut self, step: usize, histogram: Arc<Histogram>) {
        if self.histograms.is_empty() {
            self.histograms.resize(self.values.len(), None);
        }
        self.histograms[step] = Some(histogram);
    }

    /// Takes the value of a step away.
    pub(super) fn clear(&mut self, step: usize) {
        self.values[step] = absent();
        if let Some(histogram) = self.histograms.get_mut(step) {
            *histogram = None;
        }
    }

    /// One value for each of `count` steps, from the first.
    pub(super) fn repeat(&mut self, count: usize) {
        self.values = vec![self.values[0]; count];
        if let Some(histogram) = self.histograms.first().cloned() {
            self.histograms = vec![histogram; count];
        }
    }

    /// The steps that have a value, as samples; none when there is no such step.
    pub(super) fn into_series(self, grid: &Grid) -> Option<Series> {
        let samples: Vec<Sample> = self.samples(grid).collect();
        let histograms = self.histogram_samples(grid);
        let series = Series { histograms, ..Series::new(self.labels, samples) };
        (!series.is_empty()).then_some(series)
    }

    /// The steps whose value is a histogram.
    pub(super) fn histogram_samples(&self, grid: &Grid) -> Vec<HistogramSample> {
        let sample = |(step, histogram): (usize, &Option<Arc<Histogram>>)| {
            Some(HistogramSample { timestamp: Timestamp(grid.at(step)), histogram: histogram.clone()? })
        };
        self.histograms.iter().enumerate().filter_map(sample).collect()
    }

    /// The steps that have a value, as samples.
    pub(super) fn samples(&self, grid: &Grid) -> impl Iterator<Item = Sample> {
        let present = self.values.iter().enumerate().filter(|(_, value)| is_present(**value));
        present.map(|(step, value)| Sample { timestamp: Timestamp(grid.at(step)), value: *value })
    }
}

/// Columns by their labels, in the order they were first met: values of equal labels fall into one column.
#[derive(Default)]
pub(super) struct Columns {
    places: HashMap<Labels, usize, LabelHash>,
    columns: Vec<Column>,
}

impl Columns {
    /// The place of the column with these labels, made if it is not there.
    pub(super) fn place(&mut self, labels: &Labels, drop_name: bool, count: usize) -> usize {
        if let Some(place) = self.places.get(labels) {
            return *place;
        }
        let place = self.columns.len();
        self.places.insert(labels.clone(), place);
        let values = vec![absent(); count];
        self.columns.push(Column { drop_name, ..Column::new(labels.clone(), values) });
        place
    }

    /// Sets a value, unless another one is there.
    pub(super) fn set(&mut self, place: usize, step: usize, value: f64) -> Result<(), EvalError> {
        if self.columns[place].has(step) {
            return Err(same_labels());
        }
        self.columns[place].values[step] = value;
        Ok(())
    }

    /// Sets a histogram, unless another value is there.
    pub(super) fn set_histogram(&mut self, place: usize, step: usize, value: Arc<Histogram>) -> Result<(), EvalError> {
        if self.columns[place].has(step) {
            return Err(same_labels());
        }
        self.columns[place].set_histogram(step, value);
        Ok(())
    }

    /// A value that was set before.
    pub(super) fn value(&mut self, place: usize, step: usize) -> &mut f64 {
        &mut self.columns[place].values[step]
    }

    /// Takes a whole column in.
    pub(super) fn add(&mut self, column: Column) -> Result<(), EvalError> {
        let Some(place) = self.places.get(&column.labels).copied() else {
            self.places.insert(column.labels.clone(), self.columns.len());
            self.columns.push(column);
            return Ok(());
        };
        for (step, value) in column.values.iter().enumerate().filter(|(_, value)| is_present(**value)) {
            self.set(place, step, *value)?;
        }
        for (step, histogram) in column.histograms.into_iter().enumerate() {
            if let Some(histogram) = histogram {
                self.set_histogram(place, step, histogram)?;
            }
        }
        Ok(())
    }

    /// All columns that have a value.
    pub(super) fn finish(mut self) -> Vec<Column> {
        self.columns.retain(Column::has_values);
        self.columns
    }
}

/// Makes columns with equal labels one; two values at one step are an error.
pub(super) fn merge(columns: Vec<Column>) -> Result<Vec<Column>, EvalError> {
    let mut merged = Columns::default();
    for column in columns {
        merged.add(column)?;
    }
    Ok(merged.finish())
}

/// Drops the names that are to be dropped, at the end of a query.
///
/// Every node gives columns of different labels, so without a name to drop there is nothing to make one.
pub(super) fn drop_names(columns: Vec<Column>) -> Result<Vec<Column>, EvalError> {
    if !columns.iter().any(|column| column.drop_name) {
        return Ok(columns);
    }
    let dropped = columns.into_iter().map(|column| Column {
        labels: if column.drop_name { without_metadata(&column.labels) } else { column.labels },
        drop_name: false,
        values: column.values,
        histograms: column.histograms,
    });
    merge(dropped.collect())
}

/// Drops the names that are to be dropped, at the end of one node. Functions of a range give no two series that are
/// one without them, even at different steps.
pub(super) fn drop_names_at_once(columns: Vec<Column>, strict: bool) -> Result<Vec<Column>, EvalError> {
    let count = columns.len();
    let dropped = drop_names(columns)?;
    if strict && dropped.len() < count { Err(same_labels()) } else { Ok(dropped) }
}

/// Whether all columns have the same name and no other label that is dropped with it.
pub(super) fn is_of_one_name(columns: &[Column]) -> bool {
    let metadata = |column: &Column| column.labels.iter().any(|(name, _)| matches!(name, "__type__" | "__unit__"));
    let Some(name) = columns.first().map(|column| column.labels.name()) else { return true };
    columns.iter().all(|column| column.labels.name() == name && !metadata(column))
}

/// The labels without name, type and unit, which belong to the metric and not to what was made of it.
pub(super) fn without_metadata(labels: &Labels) -> Labels {
    let metadata = |name: &str| matches!(name, Labels::NAME | "__type__" | "__unit__");
    if labels.iter().any(|(name, _)| metadata(name)) { labels.filtered(|name| !metadata(name)) } else { labels.clone() }
}

pub(super) fn same_labels() -> EvalError {
    EvalError::Duplicate("vector cannot contain metrics with the same labelset".into())
}
