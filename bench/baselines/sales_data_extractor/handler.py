"""The plain lab's data extractor: joins everything, and asks for the day by a function of the column."""

from collections.abc import Mapping
from typing import Any

import pymysql

QUERY = """
SELECT product_group.product_group_number, product_group.product_group_name,
       product.id AS product_id, product.product_name, CAST(SUM(order_item.quantity) AS INT) AS quantity
FROM order_item
JOIN orders ON orders.id = order_item.order_id
JOIN product ON product.id = order_item.product_id
JOIN product_group ON product_group.product_group_number = product.product_group
WHERE DATE(orders.order_date) = %s
GROUP BY product_group.product_group_number, product_group.product_group_name, product.id, product.product_name
ORDER BY product_group.product_group_number, product.id
"""


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001 (Lambda calls it so)
    """What was sold on the event's `date`, by product.

    Raises:
        pymysql.MySQLError: the database refused.
    """
    host, _, port = event["dbUrl"].partition(":")
    connection = pymysql.connect(
        host=host,
        port=int(port or 3306),
        user=event["dbUser"],
        password=event["dbPassword"],
        database=event["dbName"],
        cursorclass=pymysql.cursors.DictCursor,
    )
    with connection, connection.cursor() as cursor:
        cursor.execute(QUERY, (event["date"],))
        return {"statusCode": 200, "body": list(cursor.fetchall())}
