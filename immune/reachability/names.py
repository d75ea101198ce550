"""Which modules a package brings: the name it is imported by is not always the one it is installed by. Pure.

``KNOWN`` holds what was looked up (the packages' own ``top_level.txt``); a package that is not in it may be found to be imported by
its own name, but never to be not imported.
"""

from __future__ import annotations

_SAME = """
aiohttp alembic anyio arrow asgiref babel bandit black bleach boto3 botocore bottle celery certifi cffi chardet click cryptography
cssselect daphne diskcache dparse fabric fastapi filelock flask freezegun ftfy future gevent greenlet gunicorn h11 h2 hpack httpcore
httplib2 httpx idna jinja2 jmespath joblib jsonpatch jsonpointer jsonschema keyring kombu langchain lxml mako markdown markupsafe
marshmallow mistune nltk numpy oauthlib openpyxl orjson packaging pandas paramiko passlib peewee pexpect pip pluggy psutil psycopg2
pyasn1 pycparser pydantic pygments pymongo pymysql pyparsing pytest pytz redis requests rsa scipy scrapy sentry_sdk setuptools simplejson
six sqlalchemy sqlparse starlette tensorflow torch tornado tqdm transformers twisted typer ujson urllib3 uvicorn virtualenv waitress
webob websockets wheel wtforms xmltodict yarl zipp
"""
# Normalised name (PEP 503) → top-level modules.
KNOWN: dict[str, tuple[str, ...]] = {name.replace("_", "-"): (name,) for name in _SAME.split()} | {
    "attrs": ("attr", "attrs"),
    "beautifulsoup4": ("bs4",),
    "django": ("django",),
    "django-filter": ("django_filters",),
    "djangorestframework": ("rest_framework",),
    "gitpython": ("git",),
    "mysqlclient": ("MySQLdb",),
    "opencv-python": ("cv2",),
    "pdfminer-six": ("pdfminer",),
    "pillow": ("PIL",),
    "protobuf": ("google",),
    "psycopg2-binary": ("psycopg2",),
    "pycryptodome": ("Crypto",),
    "pygithub": ("github",),
    "pyjwt": ("jwt",),
    "pyopenssl": ("OpenSSL",),
    "pysaml2": ("saml2",),
    "python-dateutil": ("dateutil",),
    "python-dotenv": ("dotenv",),
    "python-jose": ("jose",),
    "python-multipart": ("multipart", "python_multipart"),
    "pyyaml": ("yaml",),
    "pyzmq": ("zmq",),
    "ruamel-yaml": ("ruamel",),
    "scikit-learn": ("sklearn",),
    "tensorflow-cpu": ("tensorflow",),
    "werkzeug": ("werkzeug",),
    "pypdf2": ("PyPDF2",),
    "pypdf": ("pypdf",),
}


def python_modules(package: str) -> tuple[tuple[str, ...], bool]:
    """The modules of a package (normalised name), and whether that is known or only its own name taken for one."""
    known = KNOWN.get(package)
    return (known, True) if known else ((package.replace("-", "_").replace(".", "_"),), False)
