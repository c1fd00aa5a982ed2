//! A description of the machine at hand, from what the operating system tells anyone.

use super::summary::Machine;

impl Machine {
    /// The machine that this program runs on. What cannot be found out stays empty.
    pub fn this() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let cpu = field(&read("/proc/cpuinfo"), "model name", ':');
        let os = field(&read("/etc/os-release"), "PRETTY_NAME", '=');
        let kilobytes = field(&read("/proc/meminfo"), "MemTotal", ':')
            .and_then(|value| value.split_whitespace().next()?.parse::<f64>().ok());
        Self {
            cpu: cpu.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gb: kilobytes.map(|kb| (kb / 1024.0 / 1024.0 * 10.0).round() / 10.0),
            os: os.unwrap_or_else(|| std::env::consts::OS.to_owned()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

fn field(text: &str, key: &str, separator: char) -> Option<String> {
    text.lines()
        .filter_map(|line| line.split_once(separator))
        .find(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim().trim_matches('"').to_owned())
        .filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_trimmed_and_unquoted() {
        assert_eq!(
            field("model name\t: Fast CPU\n", "model name", ':').unwrap(),
            "Fast CPU"
        );
        assert_eq!(
            field("NAME=x\nPRETTY_NAME=\"An OS 1\"\n", "PRETTY_NAME", '=').unwrap(),
            "An OS 1"
        );
        assert_eq!(field("cpu :\n", "cpu", ':'), None);
        assert!(Machine::this().cores > 0);
    }
}
