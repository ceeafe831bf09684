//! Figures for Prometheus: what they are made of. Each part of the program owns those that it measures, and enters them.

use std::borrow::Cow;
use std::fmt::{self, Debug};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _, prometheus_text};
use prometheus_client::metrics::MetricType;
pub use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
pub use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

/// What tells the kinds of one figure apart.
pub type Labels<const N: usize> = [(&'static str, Cow<'static, str>); N];
/// How many things have happened, of each kind.
pub type Counts<const N: usize> = Family<Labels<N>, Counter>;
/// How long things took, of each kind.
pub type Times<const N: usize> = Family<Labels<N>, Histogram, fn() -> Histogram>;

/// The figures of one process.
#[derive(Debug)]
pub struct Figures(Registry);

impl Default for Figures {
    fn default() -> Self {
        Self(Registry::with_prefix("claviger"))
    }
}

impl Figures {
    /// Enters a figure under its name, without the program's own in front. Counters get `_total` behind it.
    pub fn enter(&mut self, name: &str, help: &str, metric: impl Metric) {
        self.0.register(name, help, metric);
    }

    /// Enters a number that is looked up whenever somebody asks.
    pub fn enter_level(
        &mut self,
        name: &'static str,
        help: &'static str,
        look: impl Fn() -> usize + Send + Sync + 'static,
    ) {
        let look = move || [("", look())];
        self.0.register_collector(Box::new(Levels { name, help, label: None, look }));
    }

    /// The same for several, told apart by one label.
    pub fn enter_levels<const N: usize>(
        &mut self,
        (name, help): (&'static str, &'static str),
        label: &'static str,
        look: impl Fn() -> [(&'static str, usize); N] + Send + Sync + 'static,
    ) {
        self.0.register_collector(Box::new(Levels { name, help, label: Some(label), look }));
    }

    /// All of them, in Prometheus' text format, version 0.0.4.
    ///
    /// # Errors
    /// When a figure cannot be written as text.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.0)?;
        Ok(text)
    }
}

/// How long something takes that should take milliseconds, in seconds.
#[must_use]
pub fn durations() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
}

/// Adds one that took so long.
pub fn observe(histogram: &Histogram, took: Duration) {
    histogram.observe(took.as_secs_f64());
}

/// Counts that begin at none of each of these kinds: of what is not there, the first one is not seen as an increase.
#[must_use]
pub fn counts_of(label: &'static str, kinds: &[&'static str]) -> Counts<1> {
    let counts = Counts::default();
    for kind in kinds {
        drop(counts.get_or_create(&[(label, (*kind).into())]));
    }
    counts
}

/// Adds one of the kind that this label tells.
pub fn count(counts: &Counts<1>, label: &'static str, kind: &'static str) {
    counts.get_or_create(&[(label, kind.into())]).inc();
}

struct Levels<F> {
    name: &'static str,
    help: &'static str,
    label: Option<&'static str>,
    look: F,
}

impl<F> Debug for Levels<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Levels({})", self.name)
    }
}

impl<const N: usize, F: Fn() -> [(&'static str, usize); N] + Send + Sync + 'static> Collector for Levels<F> {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let mut encoder = encoder.encode_descriptor(self.name, self.help, None, MetricType::Gauge)?;
        for (value, number) in (self.look)() {
            let level = ConstGauge::new(number);
            let labels: Vec<_> = self.label.map(|label| (label, value)).into_iter().collect();
            level.encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
