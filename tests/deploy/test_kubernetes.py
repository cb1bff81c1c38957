from __future__ import annotations

from pathlib import Path

import yaml

from agent.generate.names import JOB
from agent.language.declared import files_of
from agent.settings import PREFIX, Settings

FOLDER = Path(__file__).parents[2] / "deploy/kubernetes"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
OBJECTS = [o for o in yaml.safe_load_all((FOLDER / "agent.yaml").read_text()) if o]
PORT = Settings.model_fields["web_port"].default


def only(kind: str, name: str = "kpi-agent") -> dict:
    (sole,) = (o for o in OBJECTS if o["kind"] == kind and o["metadata"]["name"] == name)
    return sole


POD = only("StatefulSet")["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]


def test_every_file_of_the_kustomization_exists() -> None:
    for name in KUSTOMIZATION["resources"]:
        assert (FOLDER / name).is_file(), name


def test_the_config_map_holds_every_file_of_the_rules() -> None:
    files = {g["name"]: g for g in KUSTOMIZATION["configMapGenerator"]}["kpi-agent-rules"]["files"]
    listed = {(FOLDER / name).resolve() for name in files}
    assert listed == set(files_of(FOLDER.parents[1] / "rules"))  # rule tests stay at home


def test_every_setting_exists() -> None:
    patched = yaml.safe_load(KUSTOMIZATION["patches"][0]["patch"])["spec"]["template"]["spec"]
    for container in (CONTAINER, patched["containers"][0]):
        given = {v["name"].removeprefix(PREFIX).lower(): v["value"] for v in container["env"]}
        Settings(**given)


def test_the_secret_that_the_rules_need_is_a_file_that_the_manifest_says_how_to_make() -> None:
    (volume,) = (v for v in POD["volumes"] if v["name"] == "secrets")
    ((source,),) = ([s["secret"] for s in volume["projected"]["sources"]],)
    (mount,) = (m for m in CONTAINER["volumeMounts"] if m["name"] == "secrets")
    values = {v["name"]: v["value"] for v in CONTAINER["env"]}
    (item,) = source["items"]
    assert values[f"{PREFIX}PERSON_SECRET_FILE"] == f"{mount['mountPath']}/{item['path']}"
    text = (FOLDER / "agent.yaml").read_text()
    assert f"kubectl create secret generic {source['name']} --namespace kpi-agent" in text
    assert f"--from-literal={item['key']}=" in text


def test_kustomize_names_the_image_of_the_manifest() -> None:
    (image,) = KUSTOMIZATION["images"]
    assert CONTAINER["image"] == f"{image['name']}:{image['newTag']}"


def test_two_workers_survive_a_drained_node() -> None:
    assert only("StatefulSet")["spec"]["replicas"] == 2
    assert only("PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def test_selectors_choose_the_pods() -> None:
    labels = only("StatefulSet")["spec"]["template"]["metadata"]["labels"]
    assert only("StatefulSet")["spec"]["selector"]["matchLabels"] == labels
    assert only("Service")["spec"]["selector"] == labels
    assert only("Service", "kpi-agent-workers")["spec"]["selector"] == labels
    assert only("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels


def test_ports_are_where_the_agent_listens() -> None:
    assert CONTAINER["ports"] == [{"name": "web", "containerPort": PORT}]
    ports = [p for o in OBJECTS if o["kind"] == "Service" for p in o["spec"]["ports"]]
    assert {p["targetPort"] for p in ports} == {"web"}


def test_probes_ask_the_pages_that_the_agent_has() -> None:
    asked = {kind: CONTAINER[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness")}
    assert asked == {key: {"path": "/-/healthy", "port": "web"} for key in asked}
    assert CONTAINER["readinessProbe"]["httpGet"] == {"path": "/-/ready", "port": "web"}


def test_the_pod_meets_the_restricted_standard() -> None:
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_user_is_the_one_of_the_image() -> None:
    dockerfile = (FOLDER.parent / "Dockerfile").read_text()
    context = POD["securityContext"]
    assert f"USER {context['runAsUser']}:{context['runAsGroup']}" in dockerfile


def test_every_mount_has_its_volume() -> None:
    volumes = {v["name"] for v in POD["volumes"]}
    statuses = only("StatefulSet")["spec"]["volumeClaimTemplates"]
    volumes |= {status["metadata"]["name"] for status in statuses}
    assert {m["name"] for m in CONTAINER["volumeMounts"]} == volumes


def test_the_pod_monitor_keeps_the_dimensions_of_kpis_and_names_the_job_of_the_rules() -> None:
    monitor = yaml.safe_load((FOLDER / "podmonitor.yaml").read_text())
    labels = only("StatefulSet")["spec"]["template"]["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"] == labels
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] == CONTAINER["ports"][0]["name"]
    assert endpoint["honorLabels"] is True
    assert {"targetLabel": "job", "replacement": JOB} in endpoint["relabelings"]
