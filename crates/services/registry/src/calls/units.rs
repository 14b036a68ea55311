//! Units: organisations with dates.

use loa_contract::pb::registry::v1::{ListUnitsRequest, ListUnitsResponse, PutUnitRequest, PutUnitResponse};
use loa_ports::store::StoreError;
use loa_ports::store::registry::Act;
use loa_runtime::rpc::{Caller, Violations, store_status};
use tonic::Status;

use super::{next_token, page};
use crate::change::TRIES;
use crate::core::Core;
use crate::rules::{field, unit};

impl Core {
    pub(super) async fn put_unit(&self, caller: &Caller, request: PutUnitRequest) -> Result<PutUnitResponse, Status> {
        let unit = request.unit.unwrap_or_default();
        let mut faults = Violations::new();
        unit::check(&unit, &mut faults);
        faults.into_result()?;
        let act = Act {
            at_us: self.now_us(),
            user: caller.user.clone(),
            object_kind: "unit",
            object_id: unit.code.clone(),
            action: "put".to_owned(),
            detail: format!("{} ({})", unit.name, unit.kind),
        };
        let mut tries = 1;
        loop {
            match self.store.put_unit(&unit, &act).await {
                Ok(()) => return Ok(PutUnitResponse { unit: Some(unit) }),
                // Storing the same again changes nothing.
                Err(StoreError::Uncertain { .. }) if tries < TRIES => tries += 1,
                Err(error) => return Err(store_status(&error)),
            }
        }
    }

    pub(super) async fn list_units(
        &self,
        _caller: &Caller,
        request: ListUnitsRequest,
    ) -> Result<ListUnitsResponse, Status> {
        let mut faults = Violations::new();
        let at_us = field::optional_time("valid_at", request.valid_at.as_ref(), &mut faults);
        let page = page(request.page_size, &request.page_token, &mut faults);
        faults.into_result()?;
        let at_us = at_us.unwrap_or_else(|| self.now_us());
        let page = self.store.units(at_us, page).await.map_err(|error| store_status(&error))?;
        Ok(ListUnitsResponse { next_page_token: next_token(&page), units: page.rows })
    }
}
