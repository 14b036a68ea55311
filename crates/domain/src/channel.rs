//! Channels, lanes, message classes: the closed sets that decide how a message travels.
//!
//! Must stay true: names and codes never change; they are in stored rows, records and configuration.

/// A text that names none of a closed set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is not a {kind}; use one of: {known}")]
pub struct UnknownName {
    kind: &'static str,
    given: String,
    known: String,
}

impl UnknownName {
    pub(crate) fn new<'a>(kind: &'static str, given: &str, known: impl Iterator<Item = &'a str>) -> Self {
        Self { kind, given: given.chars().take(40).collect(), known: known.collect::<Vec<_>>().join(", ") }
    }
}

macro_rules! closed_set {
    ($(#[$doc:meta])* $name:ident, $kind:literal, { $($(#[$vdoc:meta])* $variant:ident = $code:literal $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value, in order of its code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The stable code, also the number of the Protobuf enum.
            pub fn code(self) -> u8 {
                match self { $(Self::$variant => $code),+ }
            }

            /// The value of a code.
            pub fn from_code(code: i32) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| i32::from(value.code()) == code)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::channel::UnknownName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let known = || Self::ALL.iter().map(|value| value.name());
                let found = Self::ALL.iter().copied().find(|value| value.name() == text);
                found.ok_or_else(|| $crate::channel::UnknownName::new($kind, text, known()))
            }
        }
    };
}
pub(crate) use closed_set;

closed_set!(
    /// The way a message reaches a person.
    Channel, "channel", {
        /// A text to a subscriber number.
        Sms = 1 "sms",
        /// A mail to a mailbox.
        Email = 2 "email",
    }
);

closed_set!(
    /// What waits for what: urgent never waits for bulk.
    Lane, "lane", {
        /// Handed over within a second; may be sent again after an in-doubt time-out if its campaign says so.
        Urgent = 1 "urgent",
        /// Before bulk.
        Normal = 2 "normal",
        /// Everything else.
        Bulk = 3 "bulk",
    }
);

closed_set!(
    /// What the law calls the message; decides consent, label, hours and caps (Decree 91/2020).
    Class, "class", {
        /// Introduces products or services, for profit or not (Art. 3(1)).
        Advertising = 1 "advertising",
        /// The one message that asks for consent (Art. 13).
        AdRegistration = 2 "ad_registration",
        /// From a telecom enterprise to its own users about its service (Art. 3(2)).
        CustomerCare = 3 "customer_care",
        /// News, social policy, government and grassroots information.
        PublicInformation = 4 "public_information",
        /// Disaster, fire, epidemic, security: any hour.
        Emergency = 5 "emergency",
        /// One-time codes, answers, receipts.
        Personal = 6 "personal",
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_parse_back() {
        for &class in Class::ALL {
            assert_eq!(class.name().parse(), Ok(class));
            assert_eq!(Class::from_code(i32::from(class.code())), Some(class));
        }
        assert_eq!(Lane::from_code(0), None, "0 is Protobuf's unspecified");
    }

    #[test]
    fn an_unknown_name_says_what_is_known() {
        let error = "letter".parse::<Channel>().unwrap_err();
        assert_eq!(error.to_string(), "`letter` is not a channel; use one of: sms, email");
    }
}
