"""What can be done with the node under the cursor, as a part of the Traces screen."""

from app.screens.base import StudioScreen
from widgets.outline import Item


class NodeActions(StudioScreen):
    """Actions on a node."""

    @property
    def cursor(self) -> Item | None:
        """The item that the cursor is on."""
        raise NotImplementedError

    def why_not_node(self, action: str) -> str:
        """Why one of its actions can't be done now."""
        return ""
