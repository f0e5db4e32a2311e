"""The order as JSON Schema draft 4, which is what an API Gateway model speaks.

It refuses what a schema can say. The order processor (`lambdas/shared/orders.py`) is the authority, and a test holds
the two together: what the processor takes, this schema takes.
"""

from aws_cdk.aws_apigateway import JsonSchema, JsonSchemaType, JsonSchemaVersion

_RFC_3339_SHAPE = "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$"

ORDER_SCHEMA = JsonSchema(
    schema=JsonSchemaVersion.DRAFT4,
    title="Order",
    type=JsonSchemaType.OBJECT,
    required=["product", "quantity", "price_per_item"],
    additional_properties=False,
    properties={
        "orderID": JsonSchema(type=JsonSchemaType.STRING, pattern="^[A-Za-z0-9._-]{1,64}$"),
        "customer_id": JsonSchema(type=JsonSchemaType.STRING, min_length=1, max_length=64),
        "product": JsonSchema(type=JsonSchemaType.STRING, min_length=1, max_length=200),
        "quantity": JsonSchema(type=JsonSchemaType.INTEGER, minimum=1, maximum=10_000),
        "price_per_item": JsonSchema(type=JsonSchemaType.NUMBER, minimum=0, maximum=1_000_000, multiple_of=0.0001),
        "order_date": JsonSchema(type=JsonSchemaType.STRING, pattern=_RFC_3339_SHAPE),
    },
)
