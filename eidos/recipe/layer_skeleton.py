"""A new layer for a query, as a text to fill in.

Knows the form of a layer and what must be filled in; must not know which values make sense.
"""

from __future__ import annotations

from eidos.formats import to_yaml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from eidos.model.query import Query

_HEAD = """\
# A layer {of}. Save it below overlays/ in a folder of your own, such as my-recipes/overlays/{name}.yaml, then:
#   eidos recipe lint --data my-recipes
#   eidos recipe --data my-recipes{flags}
# Fields of the key may be lists (gpu: [h100, h200]), versions ranges (k8s: ">= 1.33"); gpu-operator: ">= 26.7" holds for those releases.
"""

_BODY = """\
source:
  - id: site
    document: ""  # where the values come from
    version: ""
    date: ""      # of the document: YYYY-MM-DD
measurements:
  # - type: OS
  #   subtypes:
  #     - subtype: sysctl
  #       data:
  #         /proc/sys/vm/swappiness: "1"  # null removes what layers below set
  #       context:
  #         /proc/sys/vm/swappiness: Why, in one sentence.
constraints:
  # - name: K8s.server.version
  #   value: ">= 1.33"
  #   why: Why, in one sentence.
  #   source: site
components:
  # gpu-operator:
  #   version: v1.2.3
  #   values: {}
  #   why: Why, in one sentence.
  #   source: site
"""


def layer_skeleton(query: Query) -> str:
    """The text of a layer for the queries that ``query`` matches, in YAML: its key, and what is left to fill in."""
    fields = query.fields()
    head = _HEAD.format(
        of=f"for {query}",
        name="-".join(value.replace(".", "-") for value in fields.values()),
        flags="".join(f" --{field} {value}" for field, value in fields.items()),
    )
    return head + to_yaml({"key": fields}) + _BODY
