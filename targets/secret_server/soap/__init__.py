"""Secret Server's SOAP interface (`webservices/SSWebService.asmx`), upon the service.

    schema.py      types, members and operations as values;  contract.py  those that the interface has
    markup.py      XML that is safe to read, text that is safe to write;  values.py  values by their schema: both pure
    envelope.py    SOAP 1.1 and 1.2, requests in, answers and faults out;  forms.py  the HTTP GET form: both pure
    wsdl.py        the contract as WSDL, generated: pure
    errors.py      what each refusal becomes;  wire.py  secrets, settings, audits as values: both pure
    asking.py      what an operation is given, and gives back
    sessions.py, secrets.py, searches.py, checkouts.py   the operations;  answering.py  a call to its answer
    application.py the web server's routes

As ASP.NET's web services (ASMX) do it: an operation that fails answers 200 with `Errors`; a fault (500) is for what is
no request at all. Where public sources leave a name or a text open, the choice is marked UNSURE beside it.
"""
