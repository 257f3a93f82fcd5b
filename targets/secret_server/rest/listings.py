"""Listings: searches for secrets, look-ups, totals; folders and templates."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from targets.secret_server import searching
from targets.secret_server.folders import Folder
from targets.secret_server.refusal import Refused, Why
from targets.secret_server.rest import records, wire
from targets.secret_server.rest.asking import caller_of, look_of, number_in, query_of, refusal
from targets.secret_server.rest.paging import page
from targets.secret_server.rest.query import BadQueryError, Query
from targets.secret_server.rest.wire import Json
from targets.secret_server.rights import Access
from targets.secret_server.searching import Scope, Wanted
from targets.secret_server.secrets import StoredSecret
from targets.secret_server.service import Vault
from targets.secret_server.templates import BY_ID, TEMPLATES
from targets.secret_server.tokens import new_secret
from targets.secret_server.users import Caller


class Listings:
    def __init__(self, service: Vault) -> None:
        self._service = service

    def routes(self, version: str) -> list[web.RouteDef]:
        secrets, folders, templates = (f"/{version}/{what}" for what in ("secrets", "folders", "secret-templates"))
        return [
            web.get(secrets, self.search),
            web.get(f"{secrets}/lookup", self.lookup),
            web.get(f"{secrets}/lookup/{{id}}", self.lookup_one),
            web.get(f"{secrets}/search-total", self.total),
            web.get(f"{secrets}/search-for-ids", self.ids),
            web.get(folders, self.folders),
            web.get(f"{folders}/lookup", self.folder_lookup),
            web.get(f"{folders}/{{id}}", self.folder),
            web.get(templates, self.templates),
            web.get(f"{templates}/{{id}}", self.template),
            web.post(f"{templates}/generate-password/{{id}}", self.generate),
        ]

    async def search(self, request: web.Request) -> web.Response:
        look, extended = look_of(self._service, request), query_of(request).texts("filter.extendedFields")
        slugs = [slug.strip() for text in extended for slug in text.split(",")]
        exposed = self._service.spec.exposed
        return self._found(request, lambda secret: wire.summary(secret, look, slugs, exposed))

    async def lookup(self, request: web.Request) -> web.Response:
        return self._found(request, wire.lookup)

    async def lookup_one(self, request: web.Request) -> web.Response:
        secret = self._service.reading.listed(caller_of(request), number_in(request, "id"))
        return refusal(self._service, secret) if isinstance(secret, Refused) else web.json_response(wire.lookup(secret))

    async def total(self, request: web.Request) -> web.Response:
        return web.json_response(sum(1 for _ in self._service.search(caller_of(request), wanted(query_of(request)))))

    async def ids(self, request: web.Request) -> web.Response:
        found = self._service.search(caller_of(request), wanted(query_of(request)))
        return web.json_response({"ids": [secret.id for secret in found]})

    def _found(self, request: web.Request, shape: Callable[[StoredSecret], Json]) -> web.Response:
        query = query_of(request)
        asked = wanted(query)
        found = self._service.search(caller_of(request), asked)
        if keys := query.sorts():
            ordered = searching.sort(list(found), keys)
            if isinstance(ordered, Refused):
                return refusal(self._service, ordered)
            return web.json_response(page(ordered, query, shape, echo=_echo(asked)))
        return web.json_response(page(found, query, shape, echo=_echo(asked)))

    async def folder(self, request: web.Request) -> web.Response:
        query, folders = query_of(request), self._service.store.folders
        number = number_in(request, "id")
        found = folders.at_path(query.text("folderPath")) if number == 0 else folders.get(number)
        if found is None or not self._lists(caller_of(request), found):
            return refusal(self._service, Refused(Why.ACCESS_DENIED))
        body = records.folder(found) | {"childFolders": None, "secretTemplates": None}
        if query.flag("getAllChildren"):
            children = [c for c in folders.children(found.id) if self._lists(caller_of(request), c)]
            body["childFolders"] = [records.folder(child) for child in children]
        if query.flag("includeAssociatedTemplates"):
            body["secretTemplates"] = [{"id": t.id, "name": t.name} for t in TEMPLATES.values()]
        return web.json_response(body)

    async def folders(self, request: web.Request) -> web.Response:
        return web.json_response(page(self._folders(request), query_of(request), records.folder))

    async def folder_lookup(self, request: web.Request) -> web.Response:
        shape = lambda folder: {"id": folder.id, "value": folder.name}  # noqa: E731
        return web.json_response(page(self._folders(request), query_of(request), shape))

    def _folders(self, request: web.Request) -> list[Folder]:
        query, caller, folders = query_of(request), caller_of(request), self._service.store.folders
        found = folders.all()
        parent = query.number("filter.parentFolderId", 0)
        if query.flag("filter.onlyIncludeRootFolders") or parent == -1:
            found = folders.children(-1)
        elif parent:
            direct = query.flag("filter.limitToDirectDescendents")
            found = folders.children(parent) if direct else folders.below(parent)
        text = query.text("filter.searchText").casefold()
        return [folder for folder in found if text in folder.name.casefold() and self._lists(caller, folder)]

    async def templates(self, request: web.Request) -> web.Response:
        rows = [{"id": t.id, "name": t.name} for t in TEMPLATES.values()]
        return web.json_response(page(rows, query_of(request), dict))

    async def template(self, request: web.Request) -> web.Response:
        found = BY_ID.get(number_in(request, "id"))
        if found is None:
            return refusal(self._service, Refused(Why.ACCESS_DENIED))
        return web.json_response(records.template_model(found))

    async def generate(self, request: web.Request) -> web.Response:
        """A fresh password for a field."""
        number = number_in(request, "id")
        if not any(f.id == number and f.is_password for t in TEMPLATES.values() for f in t.fields):
            return refusal(self._service, Refused(Why.NO_FIELD))
        return web.json_response(new_secret())

    @staticmethod
    def _lists(caller: Caller, folder: Folder) -> bool:
        return caller.user.access_to_folder(folder.path) >= Access.LIST


_SCOPES = {
    "": Scope.ALL,
    "all": Scope.ALL,
    "1": Scope.ALL,
    "recent": Scope.RECENT,
    "2": Scope.RECENT,
    "favorites": Scope.FAVORITES,
    "3": Scope.FAVORITES,
}
_ACCESS = {"list": 1, "view": 2, "edit": 3, "owner": 4}


def wanted(query: Query) -> Wanted:
    """A search's filters. Raises BadQueryError."""
    access = query.text("filter.permissionRequired").lower()
    if access and access not in {*_ACCESS, *map(str, _ACCESS.values())}:
        raise BadQueryError("filter.permissionRequired")
    scope = _SCOPES.get(query.text("filter.scope").lower())
    if scope is None:
        raise BadQueryError("filter.scope")
    templates = {*query.numbers("filter.secretTemplateId"), *query.numbers("filter.secretTemplateIds")}
    folder = query.number("filter.folderId", 0)
    return Wanted(
        text=query.text("filter.searchText"),
        exact=query.flag("filter.isExactMatch"),
        field=query.text("filter.searchFieldSlug") or query.text("filter.searchField"),
        folder=max(folder, 0),
        subfolders=query.flag("filter.includeSubFolders"),
        active=query.flag("filter.includeActive", default=True),
        inactive=query.flag("filter.includeInactive"),
        restricted=query.flag("filter.includeRestricted"),
        templates=frozenset(templates),
        access=Access(_ACCESS.get(access) or int(access or 1)),
        heartbeat=query.text("filter.heartbeatStatus"),
        double_locked=query.flag("filter.allowDoubleLocks", default=True),
        checked_out=query.flag("filter.onlyCheckedOutSecrets"),
        checked_out_by_caller=query.flag("filter.onlySecretsCheckedOutByUser"),
        changes_only=query.flag("filter.onlyRPCEnabled"),
        scope=scope,
        site=query.number("filter.siteId", 1),
    )


def _echo(asked: Wanted) -> Json:
    """The filter as a v1 page repeats it."""
    return {
        "searchText": asked.text,
        "isExactMatch": asked.exact,
        "folderId": asked.folder or None,
        "includeSubFolders": asked.subfolders,
        "includeActive": asked.active,
        "includeInactive": asked.inactive,
        "includeRestricted": asked.restricted,
    }
