"""Records in the public shapes of docs/events.md, with values of our own."""

import base64
import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2025, 3, 3, 8, tzinfo=UTC)
RECORDS = 60
"""Of a shape; about one in four minutes."""

Record = Any
Shape = Callable[[random.Random, int, datetime], Record]


def lines(name: str, seed: int = 1) -> Iterator[str]:
    """The records of a shape as lines; some come twice, as producers send them after a timeout."""
    rng, at = random.Random(seed), START
    for number in range(RECORDS):
        at += timedelta(seconds=rng.randrange(20, 480), microseconds=rng.randrange(10**6))
        line = json.dumps(SHAPES[name](rng, number, at))
        yield line
        if name in REPEATED and rng.random() < 0.2:
            yield line


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _amount(rng: random.Random) -> float:
    return rng.randrange(100, 99_999) / 100


def _cloudevent(rng: random.Random, number: int, at: datetime) -> Record:
    events = [
        {
            "specversion": "1.0",
            "type": f"com.example.order.{rng.choice(['placed', 'placed', 'sent'])}",
            "source": f"/shop/{rng.choice('ab')}",
            "id": f"{number}-{i}",
            "time": _iso(at + timedelta(milliseconds=i)),
            "tenant": rng.choice(["no", "se"]),
            "data": {"amount": _amount(rng)},
        }
        for i in range(3)
    ]
    mode = rng.choice(["structured", "base64", "batched", "binary"])
    if mode == "batched":
        return events
    event = events[0]
    if mode == "base64":
        data = json.dumps(event.pop("data")).encode()
        return event | {"data_base64": base64.b64encode(data).decode()}
    return event


def _change(rng: random.Random, number: int, at: datetime) -> Record:
    op = rng.choice(["c", "u", "u", "d", "r"])
    row = {"id": number, "status": rng.choice(["new", "paid", "shipped"])}
    old = {"id": number, "status": "new"}
    return {
        "before": old if op in "ud" else None,
        "after": None if op == "d" else row,
        "source": {"ts_ms": _ms(at), "table": "orders", "snapshot": "false"},
        "op": op,
        "ts_ms": _ms(at) + 40,
    }


def _change_with_schema(rng: random.Random, number: int, at: datetime) -> Record:
    decimal = "org.apache.kafka.connect.data.Decimal"
    price = {"type": "bytes", "name": decimal, "parameters": {"scale": "2"}, "field": "price"}
    rows = [{"type": "struct", "fields": [price], "field": f} for f in ("before", "after")]
    change = _change(rng, number, at)
    for image in ("before", "after"):
        if change[image] is not None:
            cents = rng.randrange(-9_999, 999_999).to_bytes(4, "big", signed=True)
            change[image]["price"] = base64.b64encode(cents).decode()
    return {"schema": {"type": "struct", "fields": rows}, "payload": change}


def _document(rng: random.Random, number: int, at: datetime) -> Record:
    document = {
        "_id": {"$oid": f"{number:024x}"},
        "total": {"$numberDecimal": f"{_amount(rng):.2f}"},
        "status": rng.choice(["new", "paid"]),
    }
    after = json.dumps(document)
    return {"after": after, "source": {"ts_ms": _ms(at)}, "op": rng.choice(["c", "u", "r"])}


def _connect(rng: random.Random, number: int, at: datetime) -> Record:
    payload = {"ordertime": _ms(at), "orderid": number, "orderunits": rng.randrange(99) / 8}
    address = {"state": rng.choice(["Oslo", "Viken"])}
    return {"schema": {"type": "struct", "fields": []}, "payload": payload | {"address": address}}


def _canal(rng: random.Random, number: int, at: datetime) -> Record:
    rows = [
        {"id": str(i), "weight": f"{rng.randrange(999) / 100}"} for i in range(rng.randint(0, 3))
    ]
    op = rng.choice(["INSERT", "UPDATE"])
    return {"data": rows, "table": "products", "es": _ms(at), "id": number, "type": op}


def _maxwell(rng: random.Random, number: int, at: datetime) -> Record:
    return {
        "type": rng.choice(["insert", "update"]),
        "ts": int(at.timestamp()),
        "xid": number // 2,
        "xoffset": number % 2,
        "data": {"id": number, "weight": rng.choice([None, rng.randrange(999) / 8])},
    }


def _sns(rng: random.Random, number: int, at: datetime) -> Record:
    message = json.dumps({"order": f"o{number}", "amount": rng.randrange(99)})
    kind = {"type": {"Type": "String", "Value": rng.choice(["paid", "placed"])}}
    common = {"MessageId": f"m{number}", "Timestamp": _iso(at)}
    return common | {"Message": message, "MessageAttributes": kind}


def _sqs(rng: random.Random, number: int, at: datetime) -> Record:
    return {
        "Records": [
            {
                "messageId": f"m{number}-{i}",
                "body": json.dumps({"amount": _amount(rng)}),
                "attributes": {"SentTimestamp": str(_ms(at))},
            }
            for i in range(rng.randint(1, 4))
        ]
    }


def _kinesis(rng: random.Random, number: int, at: datetime) -> Record:
    data = base64.b64encode(json.dumps({"amount": _amount(rng)}).encode()).decode()
    arrived = round(at.timestamp(), 3)
    sequence = {"partitionKey": "s1", "sequenceNumber": str(number)}
    return {"kinesis": sequence | {"data": data, "approximateArrivalTimestamp": arrived}}


def _eventbridge(rng: random.Random, number: int, at: datetime) -> Record:
    return {
        "id": f"e{number}",
        "detail-type": rng.choice(["Order Shipped", "Order Placed"]),
        "time": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "detail": {
            "total": {"amount": rng.randrange(999), "currency": "EUR"},
            "customer-tier": rng.choice(["gold", "silver", None]),
        },
    }


def _eventgrid(rng: random.Random, number: int, at: datetime) -> Record:
    return [
        {
            "eventType": f"Microsoft.Storage.Blob{rng.choice(['Created', 'Deleted'])}",
            "eventTime": at.strftime("%Y-%m-%dT%H:%M:%S.%f") + "7Z",
            "id": f"g{number}-{i}",
            "data": {"contentLength": rng.randrange(9999)},
        }
        for i in range(rng.randint(1, 3))
    ]


def _dynamodb(rng: random.Random, number: int, at: datetime) -> Record:
    skus = [{"M": {"sku": {"S": rng.choice("abc")}}} for _ in range(rng.randint(1, 2))]
    image = {
        "total": {"N": f"{_amount(rng):.2f}"},
        "paid": {"BOOL": rng.random() < 0.7},
        "country": {"S": rng.choice(["NO", "SE"])},
        "items": {"L": skus},
    }
    created = {"ApproximateCreationDateTime": int(at.timestamp()), "NewImage": image}
    name = rng.choice(["INSERT", "INSERT", "MODIFY"])
    return {"eventID": f"e{number}", "eventName": name, "dynamodb": created}


def _mongo(rng: random.Random, number: int, at: datetime) -> Record:
    return {
        "_id": {"$oid": f"{number:024x}"},
        "createdAt": {"$date": _iso(at)},
        "items": [{"qty": {"$numberInt": str(rng.randrange(9))}} for _ in range(rng.randint(1, 3))],
        "status": rng.choice(["PAID", "NEW"]),
    }


def _transaction(rng: random.Random, number: int, at: datetime) -> Record:
    return {
        "TransactionId": str(number),
        "Amount": {"Amount": f"{_amount(rng):.2f}", "Currency": rng.choice(["EUR", "GBP"])},
        "CreditDebitIndicator": rng.choice(["Credit", "Debit"]),
        "BookingDateTime": at.isoformat(timespec="seconds"),
    }


def _page(rng: random.Random, number: int, at: datetime) -> Record:
    return {"Data": {"Transaction": [_transaction(rng, 9 * number + i, at) for i in range(3)]}}


def _salesforce(rng: random.Random, number: int, at: datetime) -> Record:
    amount = rng.choice([None, rng.randrange(99) / 2])
    payload = {
        "CreatedDate": _iso(at),
        "Amount__c": amount,
        "Stage__c": rng.choice(["Won", "Open"]),
    }
    return {"schema": "x", "payload": payload, "event": {"replayId": 100 + number}}


def _mixpanel(rng: random.Random, number: int, at: datetime) -> Record:
    properties = {"time": int(at.timestamp()), "$insert_id": f"i{number}"}
    plan = {"Plan Type": rng.choice(["Free", "pro"]), "Amount ($)": rng.randrange(99)}
    return {"event": rng.choice(["Plan Purchased", "$web_event"]), "properties": properties | plan}


def _posthog(rng: random.Random, number: int, at: datetime) -> Record:
    events = [
        {
            "event": rng.choice(["$pageview", "signed up"]),
            "properties": {"distinct_id": f"u{rng.randrange(20)}"},
            "timestamp": _iso(at),
        }
        for _ in range(rng.randint(1, 3))
    ]
    return {"api_key": "k", "batch": events, "sent_at": _iso(at)}


def _fhir(rng: random.Random, number: int, at: datetime) -> Record:
    return {
        "resourceType": "Encounter",
        "id": f"e{number}",
        "meta": {"lastUpdated": _iso(at)},
        "status": rng.choice(["finished", "in-progress"]),
        "type": [{"coding": [{"system": "s", "code": rng.choice(["183807002", "185349003"])}]}],
        "location": [{"location": {"display": f"Ward {rng.choice('AB')}"}}],
    }


def _otel(rng: random.Random, number: int, at: datetime) -> Record:
    status = rng.choice([200, 200, 404, 500])
    return {
        "Timestamp": f"{_ms(at)}145000",
        "Attributes": {"http.status_code": status, "http.route": "/x"},
        "Resource": {"service.name": rng.choice(["cart", "pay"])},
    }


def _with_headers(rng: random.Random, number: int, at: datetime) -> Record:
    headers = {"X-Event": rng.choice(["paid", "placed"]), "region": rng.choice(["emea", "apac"])}
    record = {"topic": "orders", "timestamp": _ms(at), "key": f"o{number}", "headers": headers}
    return record | {"value": {"total": _amount(rng)}}


def _order(rng: random.Random, number: int, at: datetime) -> Record:
    return {
        "type": "order.placed",
        "id": f"o{number}",
        "at": _iso(at),
        "country": rng.choice(["NO", "SE"]),
        "lines": [
            {"sku": rng.choice("abc"), "price": _amount(rng), "quantity": rng.randint(1, 4)}
            for _ in range(rng.randint(0, 4))
        ],
    }


def _of_some_topic(rng: random.Random, number: int, at: datetime) -> Record:
    order = {"type": "order.placed", "id": f"o{number}", "at": _iso(at), "total": _amount(rng)}
    topic = f"shop-{rng.choice(['no', 'se', 'dk'])}"
    return {"topic": topic, "timestamp": _ms(at), "value": order}


def _charge(rng: random.Random, number: int, at: datetime) -> Record:
    charge = {
        "id": f"ch_{number}",
        "amount": rng.randrange(100, 99_999),
        "currency": rng.choice(["eur", "usd"]),
        "outcome": {"risk_score": rng.randrange(100)},
        "customer": rng.choice([None, "cus_1", "cus_2"]),
    }
    kind = rng.choice(["charge.succeeded", "charge.succeeded", "charge.failed"])
    event = {"id": f"evt_{number}", "created": int(at.timestamp()), "type": kind}
    return event | {"api_version": "2024-06-20", "data": {"object": charge}}


def _webhook(rng: random.Random, number: int, at: datetime) -> Record:
    started = at - timedelta(seconds=rng.randrange(30, 900))
    run = {
        "conclusion": rng.choice(["success", "failure", None]),
        "run_started_at": started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "updated_at": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    value = {"action": "completed", "workflow_run": run}
    value["repository"] = {"full_name": rng.choice(["acme/api", "acme/web"])}
    event = rng.choice(["workflow_run", "workflow_run", "push"])
    headers = {"X-GitHub-Event": event, "X-GitHub-Delivery": f"d{number}"}
    return {"topic": "github", "timestamp": _ms(at), "headers": headers, "value": value}


def _analytics(rng: random.Random, number: int, at: datetime) -> Record:
    parameters: list[Record] = [
        {"key": "engagement_time_msec", "value": {"int_value": str(rng.randrange(9000))}},
        {"key": "value", "value": {"double_value": _amount(rng)}},
    ]
    rng.shuffle(parameters)
    return {
        "event_date": at.strftime("%Y%m%d"),
        "event_timestamp": str(_ms(at) * 1000),
        "event_name": rng.choice(["purchase", "page_view"]),
        "event_params": parameters,
        "user_pseudo_id": f"{rng.randrange(20)}.{rng.randrange(3)}",
        "geo": {"country": rng.choice(["Norway", "Sweden"])},
    }


def _otlp(rng: random.Random, number: int, at: datetime) -> Record:
    def log(i: int) -> Record:
        status = {"key": "http.status", "value": {"intValue": str(rng.choice([200, 500]))}}
        return {"timeUnixNano": f"{_ms(at) + i}000000", "attributes": [status]}

    def of_service(name: str) -> Record:
        service = {"key": "service.name", "value": {"stringValue": name}}
        scopes = [{"scope": {}, "logRecords": [log(i) for i in range(rng.randint(1, 3))]}]
        return {"resource": {"attributes": [service]}, "scopeLogs": scopes}

    return {"resourceLogs": [of_service(name) for name in ("cart", "pay")[: rng.randint(1, 2)]]}


def _outbox(rng: random.Random, number: int, at: datetime) -> Record:
    payload = {"total": _amount(rng), "customer": {"country": rng.choice(["NO", "SE"])}}
    row = {
        "id": f"e{number}",
        "type": rng.choice(["OrderPlaced", "OrderPlaced", "OrderSent"]),
        "payload": json.dumps(payload),
        "created": _ms(at) * 1000,
    }
    source = {"ts_ms": _ms(at) + 20, "table": "outbox", "lsn": 100 + number}
    return {"before": None, "after": row, "source": source, "op": "c"}


def _odata(rng: random.Random, number: int, at: datetime) -> Record:
    order = {"SalesOrder": f"{number:010}", "LastChangeDateTime": f"/Date({_ms(at)}+0000)/"}
    net = {"TotalNetAmount": f"{_amount(rng):.2f}", "TransactionCurrency": rng.choice("€$")}
    return {"d": order | net}


def _access(rng: random.Random, number: int, at: datetime) -> Record:
    return {
        "time_local": at.strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "status": rng.choice(["200", "404", "503"]),
        "request_time": f"{rng.randrange(2000) / 1000:.3f}",
        "upstream_response_time": rng.choice(["-", "0.012", "0.004, 0.010"]),
    }


def _w3c(rng: random.Random, number: int, at: datetime) -> Record:
    return {
        "date": at.strftime("%Y-%m-%d"),
        "time": at.strftime("%H:%M:%S"),
        "cs-method": rng.choice(["GET", "GET", "POST"]),
        "sc-status": rng.choice(["200", "404", "503"]),
        "time-taken": f"{rng.randrange(2000) / 1000:.3f}",
    }


def _sap_row(rng: random.Random, number: int, at: datetime) -> Record:
    local = at + timedelta(hours=1)
    return {
        "VBELN": f"{number:010}",
        "ERDAT": local.strftime("%Y%m%d"),
        "ERZET": local.strftime("%H%M%S"),
        "NETWR": f"{_amount(rng):.2f}",
        "WAERK": rng.choice(["EUR", "USD"]),
    }


def _bus(rng: random.Random, number: int, at: datetime) -> Record:
    kind = rng.choice(["OrderSubmitted", "OrderSubmitted", "OrderShipped"])
    return {
        "messageId": f"m{number}",
        "messageType": [f"urn:message:Shop.Contracts:{kind}", "urn:message:Shop.Contracts:Order"],
        "sentTime": at.strftime("%Y-%m-%dT%H:%M:%S.1234567Z"),
        "message": {"totalAmount": _amount(rng), "currency": rng.choice(["NOK", "SEK"])},
        "host": {"machineName": "web-1", "processId": 7},
    }


def _call(rng: random.Random, number: int, at: datetime) -> Record:
    if rng.random() < 0.3:
        body = {"connectorId": 1, "status": "Available", "timestamp": _iso(at)}
        return {"point": "p1", "message": [2, str(number), "StatusNotification", body]}
    power = {"measurand": "Power.Active.Import", "value": f"{rng.randrange(22_000)}.0", "unit": "W"}
    energy = {"measurand": "Energy.Active.Import.Register", "value": f"{number}0.0", "unit": "Wh"}
    values = [energy, power] if rng.random() < 0.5 else [power, energy]
    body = {"connectorId": 1, "meterValue": [{"timestamp": _iso(at), "sampledValue": values}]}
    return {"point": rng.choice(["p1", "p2"]), "message": [2, str(number), "MeterValues", body]}


def _admission(rng: random.Random, number: int, at: datetime) -> Record:
    arrived = at - timedelta(minutes=rng.randrange(600))
    return {
        "MSH": {
            "MSH.7": at.strftime("%Y%m%d%H%M%S"),
            "MSH.9": {"MSH.9.1": "ADT", "MSH.9.2": rng.choice(["A01", "A03"])},
            "MSH.10": f"MSG{number:05}",
        },
        "PV1": {
            "PV1.3": {"PV1.3.1": rng.choice(["ICU", "MED"])},
            "PV1.44": arrived.strftime("%Y%m%d%H%M"),
        },
    }


def _supply(rng: random.Random, number: int, at: datetime) -> Record:
    events = [
        {
            "type": "ObjectEvent",
            "eventID": f"urn:uuid:{number}-{i}",
            "eventTime": at.isoformat(timespec="milliseconds"),
            "bizStep": rng.choice(["shipping", "receiving"]),
            "epcList": [
                f"urn:epc:id:sgtin:0614141.{number}.{j}" for j in range(rng.randrange(1, 4))
            ],
            "bizLocation": {"id": f"urn:epc:id:sgln:0614141.{i}"},
        }
        for i in range(rng.randrange(1, 3))
    ]
    created = _iso(at + timedelta(seconds=9))
    return {"type": "EPCISDocument", "creationDate": created, "epcisBody": {"eventList": events}}


SHAPES: dict[str, Shape] = {
    "cloudevents": _cloudevent,
    "debezium": _change,
    "debezium_schema": _change_with_schema,
    "debezium_mongo": _document,
    "connect": _connect,
    "canal": _canal,
    "maxwell": _maxwell,
    "sns": _sns,
    "sqs": _sqs,
    "kinesis": _kinesis,
    "eventbridge": _eventbridge,
    "eventgrid": _eventgrid,
    "dynamodb": _dynamodb,
    "mongo": _mongo,
    "openbanking": _transaction,
    "openbanking_page": _page,
    "salesforce": _salesforce,
    "mixpanel": _mixpanel,
    "posthog": _posthog,
    "fhir": _fhir,
    "otel_flat": _otel,
    "headers": _with_headers,
    "lines": _order,
    "topics": _of_some_topic,
    "stripe": _charge,
    "github": _webhook,
    "ga4": _analytics,
    "otlp": _otlp,
    "outbox": _outbox,
    "odata": _odata,
    "nginx": _access,
    "w3c": _w3c,
    "sap_table": _sap_row,
    "masstransit": _bus,
    "ocpp": _call,
    "hl7": _admission,
    "epcis": _supply,
}
REPEATED = frozenset(
    {
        "cloudevents",
        "headers",
        "lines",
        "stripe",
        "github",
        "outbox",
        "sap_table",
        "masstransit",
        "hl7",
        "epcis",
    }
)
"""Those whose truth leaves repeated events out."""
