//! The URLs that people see.

use model::ToolName;

/// One listener for the platform and its tools, told apart by host name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The platform answers on this name, a tool on `<tool>.<domain>`.
    pub domain: String,
    /// As it stands in URLs; 80 is left out.
    pub port: u16,
}

impl Addresses {
    fn url(&self, host: &str) -> String {
        match self.port {
            80 => format!("http://{host}"),
            port => format!("http://{host}:{port}"),
        }
    }

    /// The platform itself, without a slash at the end.
    pub fn platform(&self) -> String {
        self.url(&self.domain)
    }

    /// Where a tool answers, with a slash at the end.
    pub fn tool(&self, name: &ToolName) -> String {
        format!("{}/", self.url(&format!("{name}.{}", self.domain)))
    }

    /// A tool's push remote.
    pub fn repository(&self, name: &ToolName) -> String {
        format!("{}/git/{name}.git", self.platform())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_its_port_only_when_it_must() {
        let name = "shop".parse().unwrap();
        let local = Addresses { domain: "localhost".into(), port: 8080 };
        assert_eq!(local.tool(&name), "http://shop.localhost:8080/");
        assert_eq!(local.repository(&name), "http://localhost:8080/git/shop.git");
        assert_eq!(Addresses { domain: "tools.example".into(), port: 80 }.platform(), "http://tools.example");
    }
}
