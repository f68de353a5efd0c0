"""Passwords and keys in addresses: what has one, and what is left of an address where it is shown or stored."""

import pytest

from epic22.core.address import has_secret, hide_secrets, split_address

SECRET = "S3cret"
WITH_SECRET = {
    "https://ann:S3cret@host/x": "https://host/x",
    "https://:S3cret@host/x": "https://host/x",
    "redis://:S3cret@host:6379/0": "redis://host:6379/0",
    "postgresql://ann:S3cret@db/erp": "postgresql://db/erp",
    "jdbc:postgresql://ann:S3cret@db/erp": "jdbc:postgresql://db/erp",
    "//ann:S3cret@host/x": "//host/x",
    # A password with a character that should be written as %2F, %40, %3F or %23.
    "postgresql://ann:S3cret/S3cret@db/erp": "postgresql://db/erp",
    "postgresql://ann:12/S3cret@db/erp": "postgresql://db/erp",
    "https://ann:pa/S3cret@host/x": "https://host/x",
    "https://ann:p@S3cret@host/x": "https://host/x",
    "https://ann:p@S3cret/S3cret@host/x": "https://host/x",
    "https://ann:p?S3cret@host/x": "https://host/x",
    "https://ann:p?a=S3cret@host/x": "https://host/x",
    "https://ann:p#S3cret@host/x": "https://host/x",
    "https://ann:S3cret@[::1]:8443/x": "https://[::1]:8443/x",
    "https://ann:S3cret@host/x?mail=a@b.example": "https://host/x",
    # Keys among the options.
    "https://h/x?api_key=S3cret": "https://h/x",
    "https://h/x?page=2&apikey=S3cret": "https://h/x",
    "https://h/x?apiKey=S3cret": "https://h/x",
    "https://h/x?api%5Fkey=S3cret": "https://h/x",
    "https://h/x?key=S3cret": "https://h/x",
    "https://h/x?access_token=S3cret": "https://h/x",
    "https://h/x#access_token=S3cret": "https://h/x",
    "https://h/x?client_secret=S3cret": "https://h/x",
    "https://acct.blob.example/c/x.csv?sv=1&sig=S3cret": "https://acct.blob.example/c/x.csv",
    "https://b.example/x.csv?X-Amz-Date=1&X-Amz-Signature=S3cret": "https://b.example/x.csv",
    "https://b.example/x.csv?AWSAccessKeyId=S3cret": "https://b.example/x.csv",
    "s3://bucket/x.csv?X-Amz-Security-Token=S3cret": "s3://bucket/x.csv",
    "postgresql://host/erp?user=me&password=S3cret": "postgresql://host/erp",
    "postgresql://host/erp?sslpassword=S3cret": "postgresql://host/erp",
    "odbc://host/erp;pwd=S3cret": "odbc://host/erp;pwd=…",
}
WITHOUT = (
    "https://h:8443/files/a@b.csv",
    "s3://bucket/2024:01/a@b.csv",
    "https://h/files/a:b@c.csv",
    "https://[::1]:8443/a@b.csv",
    "https://h/x?page=2&mail=a@b.example",
    "https://h/x?design=2&monkey=1&password=",
    "postgresql://user@localhost/epic22",
    "postgresql://postgres:@/postgres?host=/tmp/sockets",
    "postgresql://h1:5432,h2:5433/db?sslmode=require&sslkey=/etc/key.pem",
    "postgresql://host/db?user=a@b",
    "sqlite:////srv/epic22/metadata.sqlite",
    "file:///srv/a@b.csv",
    "/srv//data/a:b@c.csv",
    "C:\\data\\a@b.csv",
    "tables/prices.csv",
    "--label",
    "",
)


@pytest.mark.parametrize("address", WITH_SECRET)
def test_a_password_or_key_is_known_wherever_it_stands_and_left_out_where_the_address_is_shown(address: str) -> None:
    assert has_secret(address)
    shown = hide_secrets(f"no answer of '{address}' (refused)")
    assert SECRET not in shown
    assert shown.startswith("no answer of '")
    assert shown.endswith("' (refused)")
    place = hide_secrets(split_address(address).place)
    assert place == WITH_SECRET[address]
    assert not has_secret(place.replace("=…", "="))


@pytest.mark.parametrize("address", WITHOUT)
def test_an_address_without_a_password_is_not_taken_for_one_that_has_it(address: str) -> None:
    assert not has_secret(address)
    assert hide_secrets(address) == split_address(address).without_user


def test_a_user_is_left_out_of_what_is_shown_as_well() -> None:
    assert split_address("https://ann@host/x?page=2").place == "https://host/x"
    assert hide_secrets("of https://ann@host/x?page=2, twice") == "of https://host/x?page=2, twice"
