//! The API's document: what all operations have in common is said here once.

use crate::wire::Refusal;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        Components, Content, InfoBuilder, LicenseBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder,
        path::Operation,
        security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
    },
};

/// Where the document is.
pub(crate) const PATH: &str = "/api/v1/openapi.json";
const TOKEN: &str = "token";
const DESCRIPTION: &str = "Everything that a person can ask of a Windlass platform; the `windlass` command uses nothing \
else.

Show a token as `Authorization: Bearer <token>`. Times are RFC 3339 in UTC. Fields are only ever added: ignore those that \
you do not know. Errors are problems (RFC 9457) whose `id` is stable for ever; what you may not see answers as what is \
not there. A `202` means that it is on disk and goes on; how it ends is read from what the answer names.";

/// Adds the words, the token and the errors to what the paths say of themselves.
pub(crate) fn finished(mut document: OpenApi) -> OpenApi {
    let licence = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build();
    document.info = InfoBuilder::new()
        .title("Windlass")
        .version("1")
        .description(Some(DESCRIPTION))
        .license(Some(licence))
        .build();
    let components = document.components.get_or_insert_with(Components::new);
    components.schemas.insert(Refusal::name().into_owned(), Refusal::schema());
    components.responses.insert(Refusal::name().into_owned(), RefOr::T(refusal()));
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("A token of yours"));
    components.security_schemes.insert(TOKEN.to_owned(), RefOr::T(SecurityScheme::Http(bearer.build())));
    for path in document.paths.paths.values_mut() {
        for operation in
            [&mut path.get, &mut path.put, &mut path.post, &mut path.delete].into_iter().flatten()
        {
            complete(operation);
        }
    }
    document
}

/// Every operation may refuse, and wants a token if it does not say otherwise.
fn complete(operation: &mut Operation) {
    let refusal = RefOr::Ref(Ref::from_response_name(Refusal::name()));
    operation.responses.responses.insert("default".to_owned(), refusal);
    operation.security.get_or_insert_with(|| vec![SecurityRequirement::new(TOKEN, [""; 0])]);
}

fn refusal() -> Response {
    let body = Content::new(Some(RefOr::Ref(Ref::from_schema_name(Refusal::name()))));
    ResponseBuilder::new()
        .description("Why it was not done, and what to do next")
        .content("application/problem+json", body)
        .build()
}
