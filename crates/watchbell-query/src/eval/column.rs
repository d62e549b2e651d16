//! The values of series over the steps of a query, and the making of series with equal labels one.

use std::collections::HashMap;

use watchbell_model::{Labels, Sample, Series, Timestamp};

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
}

impl Column {
    pub(super) fn new(labels: Labels, values: Vec<f64>) -> Column {
        Column { labels, drop_name: false, values }
    }

    /// Whether any step has a value.
    pub(super) fn has_values(&self) -> bool {
        self.values.iter().any(|value| is_present(*value))
    }

    /// The steps that have a value, as samples; none when there is no such step.
    pub(super) fn into_series(self, grid: &Grid) -> Option<Series> {
        let samples: Vec<Sample> = self.samples(grid).collect();
        (!samples.is_empty()).then_some(Series::new(self.labels, samples))
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
        self.columns.push(Column { labels: labels.clone(), drop_name, values });
        place
    }

    /// Sets a value, unless another one is there.
    pub(super) fn set(&mut self, place: usize, step: usize, value: f64) -> Result<(), EvalError> {
        let cell = &mut self.columns[place].values[step];
        if is_present(*cell) {
            return Err(same_labels());
        }
        *cell = value;
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
    });
    merge(dropped.collect())
}

/// The labels without name, type and unit, which belong to the metric and not to what was made of it.
pub(super) fn without_metadata(labels: &Labels) -> Labels {
    let metadata = |name: &str| matches!(name, Labels::NAME | "__type__" | "__unit__");
    if labels.iter().any(|(name, _)| metadata(name)) { labels.filtered(|name| !metadata(name)) } else { labels.clone() }
}

pub(super) fn same_labels() -> EvalError {
    EvalError::Duplicate("vector cannot contain metrics with the same labelset".into())
}
