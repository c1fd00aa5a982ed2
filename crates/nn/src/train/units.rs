//! What a batch is counted in: single examples, or all examples of one dialogue.

/// Units by number, in the order in which their first examples stand.
#[derive(Debug)]
pub enum Units {
    /// As many units as examples, each of one.
    Single(usize),
    /// Each unit's examples, four bytes each.
    Grouped { ends: Vec<u32>, members: Vec<u32> },
}

impl Default for Units {
    fn default() -> Self {
        Self::Single(0)
    }
}

impl Units {
    /// Groups examples by the unit that each is of; units are numbered without a gap.
    pub fn of(unit: &[u32]) -> Self {
        let units = unit.iter().max().map_or(0, |&last| last as usize + 1);
        let mut ends = vec![0; units];
        unit.iter().for_each(|&unit| ends[unit as usize] += 1);
        let mut next = 0;
        for end in &mut ends {
            // Where the unit begins, until its members are in.
            next += std::mem::replace(end, next);
        }
        let mut members = vec![0; unit.len()];
        for (example, &unit) in unit.iter().enumerate() {
            let end = &mut ends[unit as usize];
            members[*end as usize] = example as u32;
            *end += 1;
        }
        Self::Grouped { ends, members }
    }

    /// Number of units.
    pub fn len(&self) -> usize {
        match self {
            Self::Single(units) => *units,
            Self::Grouped { ends, .. } => ends.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A unit's examples, in order.
    ///
    /// # Panics
    ///
    /// Where there is no such unit.
    pub fn members(&self, unit: usize) -> impl Iterator<Item = usize> {
        let range = match self {
            Self::Single(_) => unit..unit + 1,
            Self::Grouped { ends, .. } => {
                let start = unit.checked_sub(1).map_or(0, |before| ends[before]);
                start as usize..ends[unit] as usize
            }
        };
        range.map(move |at| match self {
            Self::Single(_) => at,
            Self::Grouped { members, .. } => members[at] as usize,
        })
    }
}

impl FromIterator<Vec<usize>> for Units {
    fn from_iter<I: IntoIterator<Item = Vec<usize>>>(units: I) -> Self {
        let (mut ends, mut members) = (Vec::new(), Vec::new());
        for unit in units {
            members.extend(unit.into_iter().map(|example| example as u32));
            ends.push(members.len() as u32);
        }
        Self::Grouped { ends, members }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(units: &Units) -> Vec<Vec<usize>> {
        (0..units.len())
            .map(|unit| units.members(unit).collect())
            .collect()
    }

    #[test]
    fn members_are_those_that_name_the_unit_in_their_order() {
        let units = Units::of(&[0, 1, 0, 2, 1, 0]);
        let expected = vec![vec![0, 2, 5], vec![1, 4], vec![3]];
        assert_eq!(all(&units), expected);
        assert_eq!(all(&expected.clone().into_iter().collect()), expected);
        assert_eq!(all(&Units::Single(3)), [[0], [1], [2]]);
        assert!(Units::of(&[]).is_empty());
    }
}
