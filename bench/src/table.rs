//! Rows of numbers as people compare them: how many, least, median, most.

use std::{fmt, time::Duration};

/// The rows in the order in which they were measured.
pub(crate) struct Table {
    rows: Vec<Row>,
}

enum Row {
    Heading(String),
    Numbers { what: String, unit: &'static str, sorted: Vec<f64> },
    Words(String),
}

impl Table {
    pub(crate) fn new() -> Self {
        Self { rows: Vec::new() }
    }

    pub(crate) fn heading(&mut self, text: impl Into<String>) {
        self.rows.push(Row::Heading(text.into()));
    }

    /// One row of seconds.
    pub(crate) fn seconds(&mut self, what: impl Into<String>, times: &[Duration]) {
        self.numbers(what, "s", times.iter().map(Duration::as_secs_f64).collect());
    }

    /// One row; nothing when nothing was measured.
    pub(crate) fn numbers(&mut self, what: impl Into<String>, unit: &'static str, mut numbers: Vec<f64>) {
        numbers.sort_by(f64::total_cmp);
        if !numbers.is_empty() {
            self.rows.push(Row::Numbers { what: what.into(), unit, sorted: numbers });
        }
    }

    /// How many times as good as a peer, beside the goal.
    pub(crate) fn ratio(&mut self, what: &str, ratio: f64, goal: f64) {
        let verdict = if ratio >= goal { "reached" } else { "MISSED" };
        self.words(format!("{what}: {ratio:.1} times; goal at least {goal:.1}: {verdict}"));
    }

    /// A number that is to stay below another.
    pub(crate) fn below(&mut self, what: &str, number: f64, unit: &str, goal: f64) {
        let verdict = if number < goal { "reached" } else { "MISSED" };
        self.words(format!("{what}: {number:.3} {unit}; goal below {goal:.3} {unit}: {verdict}"));
    }

    /// One row that says something else.
    pub(crate) fn words(&mut self, text: impl Into<String>) {
        self.rows.push(Row::Words(text.into()));
    }
}

/// The median of times, in seconds.
pub(crate) fn middle(times: &[Duration]) -> f64 {
    let mut seconds: Vec<f64> = times.iter().map(Duration::as_secs_f64).collect();
    seconds.sort_by(f64::total_cmp);
    median(&seconds)
}

/// The middle one of sorted numbers; of two, their mean.
pub(crate) fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match (sorted.get(middle.wrapping_sub(1)), sorted.get(middle)) {
        (Some(below), Some(above)) if sorted.len().is_multiple_of(2) => f64::midpoint(*below, *above),
        (_, Some(middle)) => *middle,
        _ => 0.0,
    }
}

/// The least of sorted numbers that so many of a hundred do not exceed.
pub(crate) fn percentile(sorted: &[f64], of_hundred: usize) -> f64 {
    let rank = (sorted.len() * of_hundred).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<52}{:>6}{:>10}{:>10}{:>10}", "", "times", "min", "median", "max")?;
        for row in &self.rows {
            match row {
                Row::Heading(text) => writeln!(f, "\n{text}")?,
                Row::Words(text) => writeln!(f, "  {text}")?,
                Row::Numbers { what, unit, sorted } => {
                    let (first, last) = (sorted.first().unwrap_or(&0.0), sorted.last().unwrap_or(&0.0));
                    let middle = median(sorted);
                    writeln!(
                        f,
                        "  {what:<50}{:>6}{first:>10.3}{middle:>10.3}{last:>10.3} {unit}",
                        sorted.len()
                    )?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_the_two_middle_ones() {
        for (sorted, expected) in
            [(&[][..], 0.0), (&[3.0][..], 3.0), (&[1.0, 2.0][..], 1.5), (&[1.0, 2.0, 9.0][..], 2.0)]
        {
            assert!((median(sorted) - expected).abs() < 1e-9, "{sorted:?}");
        }
    }

    #[test]
    fn a_percentile_is_one_of_the_numbers() {
        let numbers: Vec<f64> = (1..=200).map(f64::from).collect();
        for (of_hundred, expected) in [(50, 100.0), (99, 198.0), (100, 200.0)] {
            assert!((percentile(&numbers, of_hundred) - expected).abs() < 1e-9, "{of_hundred}");
        }
    }

    #[test]
    fn a_row_is_sorted_before_it_is_shown() {
        let mut table = Table::new();
        table.numbers("x", "MB", vec![3.0, 1.0, 2.0]);
        table.numbers("nothing", "MB", Vec::new());
        let text = table.to_string();
        assert!(text.contains("1.000     2.000     3.000 MB") && !text.contains("nothing"), "{text}");
    }
}
