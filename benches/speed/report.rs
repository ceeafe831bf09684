//! The figures as a Markdown table and as a chart.

use std::fmt::Write as _;

use super::works::{Measured, Pair, Share};

impl Share {
    fn of(&self, figure: impl Fn(&Pair) -> f64) -> Spread {
        Spread::of(self.rounds.iter().map(figure).collect())
    }

    fn share(&self) -> Spread {
        self.of(|pair| pair.rate / pair.limit)
    }

    fn multiple(&self) -> Spread {
        self.of(|pair| (pair.server + pair.postgres) / pair.least)
    }
}

/// The middle of some rounds, and their ends.
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(figures: Vec<f64>) -> Self {
        let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
        let most = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Self { least, median: median(figures), most }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "**{:.2}** ({:.2}–{:.2})", self.median, self.least, self.most)
    }
}

pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(crate) fn table(measured: &Measured) -> String {
    let mut text = String::new();
    let to = &mut text;
    if !measured.shares.is_empty() {
        let head = "| work | a second | limit | limit a second | share | target | CPU ms: server + Postgres | CPU multiple | target |";
        writeln!(to, "{head}\n|---|--:|---|--:|--:|--:|--:|--:|--:|").unwrap();
    }
    for share in &measured.shares {
        let number = |figure: fn(&Pair) -> f64| share.of(figure).median;
        writeln!(
            to,
            "| {} | {:.0} | {} | {:.0} | {} | {} | {:.3} + {:.3} | {} | {} |",
            share.work,
            number(|pair| pair.rate),
            share.limit,
            number(|pair| pair.limit),
            share.share(),
            mark(share.share().median >= share.target.0, format!("≥ {}", share.target.0)),
            number(|pair| pair.server),
            number(|pair| pair.postgres),
            share.multiple(),
            mark(share.multiple().median <= share.target.1, format!("≤ {}", share.target.1)),
        )
        .unwrap();
    }
    if !measured.latencies.is_empty() {
        writeln!(to, "\n| open loop | p50 ms | p99 ms | target |\n|---|--:|--:|--:|").unwrap();
    }
    for latency in &measured.latencies {
        let target = latency.target.map_or(String::new(), |(p50, p99)| {
            let met = latency.p50 <= p50 && latency.p99 <= p99;
            let p50 = if p50.is_finite() { format!("{p50:.1} / ") } else { String::new() };
            mark(met, format!("{p50}{p99:.1}"))
        });
        writeln!(to, "| {} | {:.2} | {:.2} | {target} |", latency.what, latency.p50, latency.p99).unwrap();
    }
    if !measured.numbers.is_empty() {
        writeln!(to, "\n| | service | bare actix-web | target |\n|---|--:|--:|--:|").unwrap();
    }
    for number in &measured.numbers {
        let target = mark(number.value <= number.target, format!("≤ {} {}", number.target, number.unit));
        let unit = number.unit;
        writeln!(to, "| {} | {:.1} {unit} | {:.1} {unit} | {target} |", number.what, number.value, number.bare)
            .unwrap();
    }
    for (failure, times) in &measured.failures {
        writeln!(to, "\nFAILED {times} times: {failure}").unwrap();
    }
    text
}

fn mark(met: bool, target: String) -> String {
    if met { target } else { format!("{target} **missed**") }
}

/// A bar for each work: its share of the limit, with the rounds' ends and the target.
pub(crate) fn chart(measured: &Measured) -> String {
    const LINE: f64 = 34.0;
    const LEFT: f64 = 90.0;
    let most = measured.shares.iter().map(|share| share.share().most.max(share.target.0)).fold(1.0, f64::max);
    let x = |share: f64| LEFT + share / most * 480.0;
    let height = LINE * measured.shares.len() as f64 + 56.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 640 {height}\" font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <title>Requests in a second, as a share of the limit measured beside them</title>\n\
         <rect width=\"640\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    let bottom = height - 40.0;
    for (number, share) in measured.shares.iter().enumerate() {
        let y = LINE * number as f64 + 12.0;
        let Spread { least, median, most } = share.share();
        let target = x(share.target.0);
        writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{LEFT}\" y=\"{y:.0}\" width=\"{:.1}\" height=\"20\" rx=\"3\" fill=\"#3b6ea5\"/>\
             <path d=\"M{:.1} {middle:.0}H{:.1}\" stroke=\"#1b3350\" stroke-width=\"2\"/>\
             <path d=\"M{target:.1} {:.0}v28\" stroke=\"#c2410c\" stroke-width=\"2\"/>\
             <text x=\"{:.1}\" y=\"{:.0}\">{median:.2}</text>",
            LEFT - 8.0,
            y + 15.0,
            share.work,
            x(median) - LEFT,
            x(least),
            x(most),
            y - 4.0,
            x(most.max(share.target.0)) + 8.0,
            y + 15.0,
            middle = y + 10.0,
        )
        .unwrap();
    }
    writeln!(
        svg,
        "<path d=\"M{one:.1} 4V{bottom:.0}\" stroke=\"#64748b\" stroke-dasharray=\"4 3\"/>\
         <text x=\"{one:.1}\" y=\"{:.0}\" text-anchor=\"middle\" fill=\"#475569\">the limit</text>\
         <text x=\"{LEFT}\" y=\"{:.0}\" fill=\"#475569\">Bars: median of the rounds; line: least to most; red: target</text>\n</svg>",
        bottom + 14.0,
        bottom + 32.0,
        one = x(1.0),
    )
    .unwrap();
    svg
}
