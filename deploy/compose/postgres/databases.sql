-- One database for every role; loa_registry is made by the image itself.
create database loa_audience;
create database loa_dispatch;
create database loa_sms;
create database loa_email;
create database loa_report;
