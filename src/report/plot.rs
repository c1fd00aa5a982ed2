//! Line charts as inline SVG.
//!
//! Plotters writes colours as attributes; `report.css` selects on those very values to give dark
//! mode its own and each series its dash, so [`COLOURS`] and [`INK`] are repeated there.

use plotters::prelude::*;

use super::format;
use super::summary::{Curve, Series};
use super::unit::Unit;

/// Series colours, as CSS names them; a seventh series starts over.
pub const COLOURS: [&str; 6] = [
    "#2B5C8A", "#B4532A", "#3D7A4E", "#7A5195", "#8C7A1F", "#5F6B76",
];
/// Axis labels.
const INK: RGBColor = RGBColor(0x5B, 0x62, 0x6A);
/// Axis and grid lines.
const GRID: RGBColor = RGBColor(0xDD, 0xDA, 0xD2);
/// Units of the view box; the page scales it.
const SIZE: (u32, u32) = (540, 290);
/// Points that a series keeps, about.
const KEPT: usize = 400;

/// The chart as an `<svg>` element; `None` when there is no finite point to draw.
pub fn svg(curve: &Curve) -> Option<String> {
    let points = || curve.series.iter().flat_map(|s| &s.points);
    let drawn: Vec<(f64, f64)> = points().copied().filter(drawable).collect();
    let x = range(drawn.iter().map(|p| p.0), 0.0)?;
    let y = range(drawn.iter().map(|p| p.1), 0.06)?;
    let mut svg = String::new();
    draw(&mut svg, curve, x, y).ok()?;
    // The figure's caption is the accessible name; the picture itself is presentation.
    Some(svg.replacen("<svg ", "<svg aria-hidden=\"true\" ", 1))
}

/// Whether a point has a place: it is finite, and so far from the greatest number that no axis overflows.
fn drawable(&(x, y): &(f64, f64)) -> bool {
    x.abs() < 1e300 && y.abs() < 1e300
}

fn draw(
    svg: &mut String,
    curve: &Curve,
    x: std::ops::Range<f64>,
    y: std::ops::Range<f64>,
) -> Result<(), Box<dyn std::error::Error>> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let mut chart = ChartBuilder::on(&root)
        .margin_top(8)
        .margin_right(18)
        .x_label_area_size(46)
        .y_label_area_size(58)
        .build_cartesian_2d(x, y)?;
    let number = |v: &f64| match v.abs() {
        size if size >= 1000.0 => format::grouped(*v),
        _ => tidy(*v),
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .x_labels(6)
        .y_labels(5)
        .x_label_formatter(&number)
        .y_label_formatter(&number)
        .label_style(("sans-serif", 15).into_font().color(&INK))
        .x_desc(&curve.x_label)
        .draw()?;
    for (index, series) in curve.series.iter().enumerate() {
        let style = colour(index).stroke_width(2);
        for piece in pieces(series) {
            if let [point] = piece.as_slice() {
                chart.draw_series([Circle::new(*point, 3, style.filled())])?;
            } else {
                chart.draw_series(LineSeries::new(piece, style))?;
            }
        }
    }
    root.present()?;
    Ok(())
}

/// The series cut at points that are not finite, each piece thinned.
fn pieces(series: &Series) -> Vec<Vec<(f64, f64)>> {
    let thinned = thin(&series.points);
    thinned
        .split(|point| !drawable(point))
        .filter(|piece| !piece.is_empty())
        .map(<[_]>::to_vec)
        .collect()
}

/// At most about 400 of the points: the first, the last, and of every stretch between its lowest
/// and its highest, so that spikes stay as tall as they were.
pub fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let [first, inner @ .., last] = points else {
        return points.to_vec();
    };
    if points.len() <= KEPT {
        return points.to_vec();
    }
    let mut kept = vec![*first];
    for stretch in inner.chunks(inner.len().div_ceil((KEPT - 2) / 2)) {
        let order = |a: &(usize, f64), b: &(usize, f64)| a.1.total_cmp(&b.1);
        let ys = || stretch.iter().map(|p| p.1).enumerate();
        // NaN sorts last, so a gap survives as the stretch's highest.
        let (low, high) = (ys().min_by(order), ys().max_by(order));
        if let (Some((low, _)), Some((high, _))) = (low, high) {
            kept.push(stretch[low.min(high)]);
            if low != high {
                kept.push(stretch[low.max(high)]);
            }
        }
    }
    kept.push(*last);
    kept
}

/// Smallest to largest with a margin on both sides, never of zero width.
fn range(values: impl Iterator<Item = f64> + Clone, margin: f64) -> Option<std::ops::Range<f64>> {
    let low = values.clone().min_by(f64::total_cmp)?;
    let high = values.max_by(f64::total_cmp)?;
    let pad = match high - low {
        0.0 => (0.05 * low.abs()).max(0.5),
        width => margin * width,
    };
    Some(low - pad..high + pad)
}

fn colour(index: usize) -> RGBColor {
    let hex = |at: usize| {
        let name = COLOURS[index % COLOURS.len()];
        u8::from_str_radix(&name[at..at + 2], 16).unwrap_or_default()
    };
    RGBColor(hex(1), hex(3), hex(5))
}

/// A tick's number without the dust of binary fractions.
fn tidy(value: f64) -> String {
    let text = format::value(value, Unit::Plain);
    if !text.contains('.') || text.contains('e') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(points: Vec<(f64, f64)>) -> Curve {
        let name = "a".to_owned();
        Curve {
            series: vec![Series { name, points }],
            ..Curve::default()
        }
    }

    #[test]
    fn thinning_keeps_ends_spikes_and_order() {
        let mut points: Vec<(f64, f64)> = (0..10_000).map(|i| (f64::from(i), 1.0)).collect();
        points[4321].1 = 99.0;
        let kept = thin(&points);
        assert!(
            kept.len() <= KEPT && kept.len() >= KEPT / 2,
            "{}",
            kept.len()
        );
        assert_eq!((kept[0].0, kept.last().unwrap().0), (0.0, 9999.0));
        assert!(kept.contains(&(4321.0, 99.0)));
        assert!(kept.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(thin(&points[..400]), points[..400]);
    }

    #[test]
    fn degenerate_curves_draw_or_decline() {
        assert_eq!(svg(&curve(vec![])), None);
        assert_eq!(svg(&curve(vec![(0.0, f64::NAN)])), None);
        assert!(
            svg(&curve(vec![(1.0, 2.0)])).unwrap().contains("<circle"),
            "one point"
        );
        let flat = svg(&curve(vec![(0.0, 0.7), (9.0, 0.7)])).unwrap();
        assert!(flat.contains("#2B5C8A") && !flat.contains("NaN"));
        let gap = curve(vec![(0., 1.), (1., 2.), (2., f64::NAN), (3., 1.), (4., 0.)]);
        assert_eq!(
            svg(&gap).unwrap().matches("stroke=\"#2B5C8A\"").count(),
            2,
            "a gap"
        );
    }

    #[test]
    fn labels_are_text_and_escaped() {
        let mut one = curve(vec![(0.0, 0.0), (1.0, 1.0)]);
        one.x_label = "<script>step</script>".into();
        let svg = svg(&one).unwrap();
        assert!(
            svg.contains("<text") && svg.contains("&lt;script&gt;") && !svg.contains("<script")
        );
    }
}
