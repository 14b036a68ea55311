//! The closed sets a subscriber file's columns hold; importers, rules and evaluators share them.
//!
//! Must stay true: names are those of the file, codes those of stored data; neither ever changes.

use crate::channel::closed_set;

closed_set!(
    /// A column of a dataset that a rule may read. Slot values are not among them: they are for texts.
    Column, "column", {
        /// The mobile number.
        Msisdn = 1 "msisdn",
        /// The fixed line.
        FixedNumber = 2 "fixed_number",
        /// The mailbox.
        Email = 3 "email",
        /// What the person subscribes to.
        Service = 4 "service",
        /// Before or after use.
        Payment = 5 "payment",
        /// Who the customer is.
        CustomerKind = 6 "customer_kind",
        /// Where the person lives.
        CommuneCode = 7 "commune_code",
        /// The band of the age; there are no birth dates.
        AgeBand = 8 "age_band",
        /// The language to write in.
        Language = 9 "language",
        /// Whether the telephone is a smartphone.
        Smartphone = 10 "smartphone",
        /// The consent to advertising.
        ConsentAds = 11 "consent_ads",
        /// Words of the dataset's vocabulary.
        Tags = 12 "tags",
    }
);

closed_set!(
    /// An address a person may have.
    Contact, "kind of address", {
        /// A mobile number.
        Mobile = 1 "mobile",
        /// A fixed line.
        Fixed = 2 "fixed",
        /// A mailbox.
        Email = 3 "email",
    }
);

impl Contact {
    /// The column it stands in.
    pub fn column(self) -> Column {
        match self {
            Self::Mobile => Column::Msisdn,
            Self::Fixed => Column::FixedNumber,
            Self::Email => Column::Email,
        }
    }
}

closed_set!(
    /// What the person subscribes to.
    Service, "service", {
        /// Mobile telephone.
        Mobile = 1 "mobile",
        /// Fixed telephone.
        Fixed = 2 "fixed",
        /// Internet over fibre.
        Ftth = 3 "ftth",
        /// Television.
        Tv = 4 "tv",
        /// A leased line.
        Leased = 5 "leased",
    }
);

closed_set!(
    /// When the person pays; bills exist only for `postpaid`.
    Payment, "way of payment", {
        /// Before use.
        Prepaid = 1 "prepaid",
        /// After use.
        Postpaid = 2 "postpaid",
    }
);

closed_set!(
    /// Who the customer is.
    CustomerKind, "kind of customer", {
        /// A person.
        Person = 1 "person",
        /// A household business (hộ kinh doanh).
        HouseholdBusiness = 2 "household_business",
        /// A cooperative (hợp tác xã).
        Cooperative = 3 "cooperative",
        /// A company.
        Enterprise = 4 "enterprise",
        /// A state agency.
        Agency = 5 "agency",
    }
);

closed_set!(
    /// The language to write in (BCP 47); `vi` where a file says nothing.
    Language, "language", {
        /// Vietnamese.
        Vi = 1 "vi",
        /// Khmer.
        Km = 2 "km",
        /// English.
        En = 3 "en",
    }
);

closed_set!(
    /// The consent to advertising.
    Consent, "consent", {
        /// Never given.
        None = 1 "none",
        /// Given, with its evidence.
        Granted = 2 "granted",
        /// Taken back.
        Withdrawn = 3 "withdrawn",
    }
);

closed_set!(
    /// How many of a list must be there.
    Quantifier, "quantifier", {
        /// At least one.
        Any = 1 "any",
        /// Every one.
        All = 2 "all",
    }
);
