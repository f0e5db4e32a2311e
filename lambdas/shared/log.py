"""The one logger of all functions.

Lambda itself writes each record as one JSON object, with what `extra` holds as its members (the function's logging
configuration says so), so no library formats anything here. Log ids, fields and rules; never a body, a customer's
data or a whole event.
"""

import logging

logger = logging.getLogger("shop")
logger.setLevel(logging.INFO)
# At level INFO the SDK tells at each cold start where it found credentials; at DEBUG it logs what it sends and gets,
# secrets among it.
logging.getLogger("botocore").setLevel(logging.WARNING)
