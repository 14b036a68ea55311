//! Which account takes which address: prefixes for numbers, domains for mailboxes.
//!
//! Must stay true: the same address always gets the same account from the same routes; synthetic people are given only to
//! simulators.

use loa_domain::channel::Channel;
use loa_domain::hash::AddressHash;

/// An account and the addresses it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The account, as named in the configuration.
    pub account: String,
    /// Its channel.
    pub channel: Channel,
    /// SMS: E.164 digits it takes, without plus (`8496`); empty = all.
    pub prefixes: Vec<String>,
    /// Email: domains it takes, with everything under them; empty = all.
    pub domains: Vec<String>,
    /// It is a simulator: nothing reaches a real person.
    pub simulator: bool,
    /// SMS: parts of one text it takes, at most.
    pub parts_max: u8,
}

/// An address as routes look at it.
#[derive(Debug, Clone, Copy)]
pub enum Address<'a> {
    /// A subscriber number.
    Number(u64),
    /// A mailbox in lower case.
    Mailbox(&'a str),
}

/// All routes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Router {
    routes: Vec<Route>,
}

impl Router {
    /// Routes in the order of their account names, so that the order of the configuration does not matter.
    pub fn new(mut routes: Vec<Route>) -> Self {
        routes.sort_by(|a, b| a.account.cmp(&b.account));
        for route in &mut routes {
            route.domains.iter_mut().for_each(|domain| *domain = domain.to_ascii_lowercase());
            route.prefixes.iter_mut().for_each(|prefix| *prefix = prefix.trim_start_matches('+').to_owned());
        }
        Self { routes }
    }

    /// The routes by account name.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The index of the account that takes the address: the one with the longest prefix or domain; among equals the
    /// address's hash decides, so that they share the people evenly. `None` = no account takes it.
    pub fn choose(&self, address: Address<'_>, hash: AddressHash, synthetic: bool) -> Option<usize> {
        let written = Written::of(address);
        let matches = |route: &Route| if synthetic && !route.simulator { None } else { route.takes(&written) };
        let longest = self.routes.iter().filter_map(matches).max()?;
        let equals = || self.routes.iter().enumerate().filter(|(_, route)| matches(route) == Some(longest));
        let count = u64::try_from(equals().count()).unwrap_or(1);
        let nth = usize::try_from((hash.0 & 0xFFFF_FFFF) % count.max(1)).unwrap_or(0);
        equals().nth(nth).map(|(index, _)| index)
    }

    /// One line per account, for the inputs that a freeze stores.
    pub fn describe(&self) -> String {
        let line = |route: &Route| {
            let Route { account, channel, prefixes, domains, simulator, parts_max } = route;
            format!(
                "{account} {channel} prefixes={} domains={} simulator={simulator} parts_max={parts_max}\n",
                prefixes.join(","),
                domains.join(",")
            )
        };
        self.routes.iter().map(line).collect()
    }
}

/// What of an address routes compare.
enum Written<'a> {
    Digits(String),
    Domain(&'a str),
}

impl<'a> Written<'a> {
    fn of(address: Address<'a>) -> Self {
        match address {
            Address::Number(number) => Self::Digits(number.to_string()),
            Address::Mailbox(mailbox) => Self::Domain(mailbox.rsplit_once('@').map_or("", |(_, domain)| domain)),
        }
    }
}

impl Route {
    /// How much of the address the route names, if it takes it: 0 = it takes all.
    fn takes(&self, address: &Written<'_>) -> Option<usize> {
        match (self.channel, address) {
            (Channel::Sms, Written::Digits(_)) if self.prefixes.is_empty() => Some(0),
            (Channel::Sms, Written::Digits(digits)) => {
                self.prefixes.iter().filter(|prefix| digits.starts_with(prefix.as_str())).map(String::len).max()
            }
            (Channel::Email, Written::Domain(_)) if self.domains.is_empty() => Some(0),
            (Channel::Email, Written::Domain(domain)) => {
                self.domains.iter().filter(|wanted| is_under(domain, wanted)).map(String::len).max()
            }
            (Channel::Sms, Written::Domain(_)) | (Channel::Email, Written::Digits(_)) => None,
        }
    }
}

/// Whether a domain is the wanted one or lies under it.
fn is_under(domain: &str, wanted: &str) -> bool {
    domain.strip_suffix(wanted).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sms(account: &str, prefixes: &[&str], simulator: bool) -> Route {
        let prefixes = prefixes.iter().map(ToString::to_string).collect();
        Route {
            account: account.to_owned(),
            channel: Channel::Sms,
            prefixes,
            domains: vec![],
            simulator,
            parts_max: 10,
        }
    }

    fn email(account: &str, domains: &[&str]) -> Route {
        let domains = domains.iter().map(ToString::to_string).collect();
        Route {
            account: account.to_owned(),
            channel: Channel::Email,
            prefixes: vec![],
            domains,
            simulator: false,
            parts_max: 1,
        }
    }

    #[test]
    fn the_longest_match_takes_the_address() {
        let router = Router::new(vec![
            sms("viettel", &["+8496", "8497"], false),
            sms("any", &[], false),
            sms("night", &["84969"], false),
            email("relay", &[]),
            email("province", &["BenTre.example"]),
        ]);
        #[track_caller]
        fn check(router: &Router, address: Address<'_>, account: Option<&str>) {
            let chosen =
                router.choose(address, AddressHash(5), false).map(|index| router.routes()[index].account.as_str());
            assert_eq!(chosen, account, "{address:?}");
        }
        check(&router, Address::Number(84_961_234_567), Some("viettel"));
        check(&router, Address::Number(84_969_234_567), Some("night"));
        check(&router, Address::Number(84_912_345_678), Some("any"));
        check(&router, Address::Mailbox("lan@bentre.example"), Some("province"));
        check(&router, Address::Mailbox("lan@mail.bentre.example"), Some("province"));
        check(&router, Address::Mailbox("lan@notbentre.example"), Some("relay"));
        check(&Router::new(vec![sms("viettel", &["8496"], false)]), Address::Number(84_912_345_678), None);
        check(&Router::new(vec![email("relay", &[])]), Address::Number(84_912_345_678), None);
    }

    #[test]
    fn synthetic_people_reach_only_simulators() {
        let router = Router::new(vec![sms("real", &["8491"], false), sms("sim", &[], true)]);
        let chosen = |synthetic| router.choose(Address::Number(84_912_345_678), AddressHash(5), synthetic);
        assert_eq!(chosen(false).map(|index| &*router.routes()[index].account), Some("real"));
        assert_eq!(chosen(true).map(|index| &*router.routes()[index].account), Some("sim"));
        let real = Router::new(vec![sms("real", &[], false)]);
        assert_eq!(real.choose(Address::Number(84_912_345_678), AddressHash(5), true), None);
    }

    #[test]
    fn equal_accounts_share_the_people() {
        let router = Router::new(vec![sms("a", &[], true), sms("b", &[], true)]);
        let chosen = |hash| router.choose(Address::Number(84_912_345_678), AddressHash(hash), true);
        assert_ne!(chosen(0), chosen(1));
        assert_eq!(chosen(7), chosen(7));
        let other_order = Router::new(vec![sms("b", &[], true), sms("a", &[], true)]);
        assert_eq!(router, other_order);
    }
}
