"""The image fan-out: uploaded originals → bucket → topic → a queue and a function for each size → bucket."""

from constructs import Construct

from stacks.constructs.bucket import SecureBucket
from stacks.constructs.deployments import GradualDeployments
from stacks.constructs.function import PythonFunction
from stacks.constructs.notifications import BucketNotifications
from stacks.constructs.queues import WorkQueue
from stacks.constructs.shop_stack import ShopStack, acknowledge
from stacks.constructs.topics import Alarms, SecureTopic, TopicKey
from stacks.settings import ImageSize, Settings, SettingsError

_SOURCE_PREFIX = "ingest/"
_BATCH_SIZE = 1
"""An image takes long and much memory, and one that fails must not hold up others."""
_MEGA = 1_000_000


class ImageFanoutStack(ShopStack):
    """Makes each uploaded image in the sizes that the settings list, independently of one another."""

    def __init__(self, scope: Construct, settings: Settings) -> None:
        super().__init__(scope, "image-fanout", settings, description="Shop: product images in several sizes")
        key = TopicKey(self, "TopicKey", services=[Alarms.SERVICE, BucketNotifications.SERVICE])
        alarms = Alarms(self, "Alarms", key=key)

        self._bucket = SecureBucket(
            self,
            "Images",
            old_versions_days=settings.image_old_versions_days,
            expire_days={_SOURCE_PREFIX: settings.image_originals_days},
        )
        topic = SecureTopic(self, "ResizeTopic", key=key, display_name="New images", emails=settings.image_emails)
        notifications = BucketNotifications(
            self,
            "Notifications",
            bucket=self._bucket,
            topic=topic,
            prefix=_SOURCE_PREFIX,
            suffixes=settings.image_suffixes,
        )

        self.output("ImagesBucketName", self._bucket.bucket_name, "Images: originals under ingest/, results beside it")
        self.output("ResizeTopicArn", topic.topic_arn, "New originals")
        for size in settings.image_sizes:
            resized = self._size(size, alarms)
            subscription = resized.subscribe_to(topic)
            notifications.node.add_dependency(resized, subscription)  # the first image finds every queue
        GradualDeployments(self, "Deployments", alarms=alarms)

    def _size(self, size: ImageSize, alarms: Alarms) -> WorkQueue:
        """What makes images in one size, with its outputs."""
        for name in (size.queue, size.function):
            if self.node.try_find_child(name):
                raise SettingsError(f"image_sizes: {name!r} is the name of something else in the stack")
        function = self._function(size)
        work = WorkQueue(
            self,
            size.queue,
            worker=function,
            batch_size=_BATCH_SIZE,
            max_concurrency=self.settings.image_max_concurrency,
            alarms=alarms,
            dead_letters_say=f"Images failed three times to be made in size {size.prefix}; their events wait in the "
            "dead-letter queue.",
            dead_letters_entry="images-in-the-dead-letter-queue",
            waiting_say=f"Images wait to be made in size {size.prefix} and nobody takes them.",
            waiting_entry="images-waiting-in-the-queue",
        )
        self.output(f"{size.queue}QueueUrl", work.queue.queue_url, f"New originals, for size {size.prefix}")
        self.output(f"{size.queue}DeadLetterQueueUrl", work.dead_letters.queue_url, "Events that failed three times")
        self.output(f"{size.function}FunctionName", function.function_name, f"Makes images in size {size.prefix}")
        return work

    def _function(self, size: ImageSize) -> PythonFunction:
        target_prefix = f"{size.prefix}/"
        function = PythonFunction(
            self,
            size.function,
            folder="image_resizer",
            description=f"Makes images fit {size.width} x {size.height} pixels",
            memory_mb=self.settings.image_memory_mb,
            timeout_seconds=self.settings.image_timeout_seconds,
            environment={
                "IMAGES_BUCKET": self._bucket.bucket_name,
                "SOURCE_PREFIX": _SOURCE_PREFIX,
                "TARGET_PREFIX": target_prefix,
                "IMAGE_WIDTH": str(size.width),
                "IMAGE_HEIGHT": str(size.height),
                "IMAGE_QUALITY": str(size.quality),
                "IMAGE_FORMAT": size.format,
                "MAX_PIXELS": str(self.settings.image_max_megapixels * _MEGA),
                "MAX_FILE_BYTES": str(self.settings.image_max_file_mb * _MEGA),
            },
        )
        function.allow("s3:GetObject", "s3:GetObjectVersion", on=self._objects(function, _SOURCE_PREFIX))
        # Without it a missing object is a 403 instead of a 404, be it an original or a result that is not there yet. S3
        # does not document whether it then takes the object's key for the prefix that it asks by, or none.
        function.allow(
            "s3:ListBucket",
            on=self._bucket.bucket_arn,
            conditions={"StringLikeIfExists": {"s3:prefix": [f"{_SOURCE_PREFIX}*", f"{target_prefix}*"]}},
        )
        function.allow("s3:GetObject", "s3:PutObject", on=self._objects(function, target_prefix))
        return function

    def _objects(self, function: PythonFunction, prefix: str) -> str:
        """The ARN pattern of the objects under a prefix, which the function's role is then known to need."""
        bucket_id = self.resolve(self._bucket.bucket_arn)["Fn::GetAtt"][0]
        acknowledge(
            function.execution_role,
            f"AwsSolutions-IAM5[Resource::<{bucket_id}.Arn>/{prefix}*]",
            "Images have keys of their uploaders' choice under this prefix.",
        )
        return self._bucket.arn_for_objects(f"{prefix}*")
