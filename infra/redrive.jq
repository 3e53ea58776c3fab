# The event to send again, of a message of the queue as `aws sqs receive-message` prints it.
# A request means "now", and is sent as a message of the time at which it was first tried, so that services that were
# redeployed since are left alone. The function's report has that time; without one, the record of the failure is the next best.
.Messages[0] as $message
| ($message.Body | fromjson) as $record
| ($record.requestPayload // $record) as $event
| if ($event | type) == "object" and $event.action != null then
    ([$record.responsePayload.errorMessage // "" | scan("\"at\": *\"([^\"]+)\"")[0]] | min // $record.timestamp) as $at
    | {
        Records: [{
          messageId: $message.MessageId,
          eventSource: "aws:sqs",
          attributes: {SentTimestamp: ($at | sub("\\.[0-9]+Z$"; "Z") | fromdateiso8601 * 1000 | tostring)},
          body: ($event | tojson)
        }]
      }
  else
    $event
  end
