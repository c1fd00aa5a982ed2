//! Learning-rate schedules with linear warm-up, as transformers' `get_scheduler` computes them.

use std::f64::consts::PI;

/// The shape after warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    Constant,
    Linear,
    Cosine,
}

impl Schedule {
    /// The factor on the learning rate at `step`, counted from 0, of `total` steps.
    pub fn factor(self, step: usize, warmup: usize, total: usize) -> f64 {
        if step < warmup {
            return step as f64 / warmup.max(1) as f64;
        }
        let progress = (step - warmup) as f64 / total.saturating_sub(warmup).max(1) as f64;
        match self {
            Schedule::Constant => 1.0,
            Schedule::Linear => (1.0 - progress).max(0.0),
            Schedule::Cosine => (0.5 * (1.0 + (PI * progress).cos())).max(0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_those_of_transformers() {
        // get_linear_schedule_with_warmup and get_cosine_schedule_with_warmup, 2 of 10 steps warm.
        let linear = [0.0, 0.5, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125];
        for (step, expected) in linear.into_iter().enumerate() {
            let factor = Schedule::Linear.factor(step, 2, 10);
            assert!((factor - expected).abs() < 1e-12, "step {step}: {factor}");
        }
        assert!((Schedule::Cosine.factor(6, 2, 10) - 0.5).abs() < 1e-12);
        assert!((Schedule::Cosine.factor(4, 2, 10) - 0.853_553_390_593_273_8).abs() < 1e-12);
        assert_eq!(Schedule::Constant.factor(9, 2, 10), 1.0);
    }
}
