// The client of gRPC's interoperability tests, by grpc-go: `client ADDRESS` runs every case at a server
// of TestService, and prints a line for each: its name, and `passed` or why not.
//
// https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md describes the cases.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

var requests = []int{27182, 8, 1828, 45904}
var responses = []int{31415, 9, 2653, 58979}

const special = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"

func check(holds bool, format string, values ...any) {
	if !holds {
		panic(fmt.Sprintf(format, values...))
	}
}

func must[T any](value T, err error) T {
	check(err == nil, "%v", err)
	return value
}

func payload(size int) *testpb.Payload { return &testpb.Payload{Body: make([]byte, size)} }

func output(request, response int) *testpb.StreamingOutputCallRequest {
	return &testpb.StreamingOutputCallRequest{
		ResponseParameters: []*testpb.ResponseParameters{{Size: int32(response)}},
		Payload:            payload(request),
	}
}

func code(err error, want codes.Code) *status.Status {
	check(status.Code(err) == want, "%v instead of %v", err, want)
	return status.Convert(err)
}

type testCase struct {
	name string
	run  func(context.Context, testpb.TestServiceClient, *grpc.ClientConn)
}

var cases = []testCase{
	{"empty_unary", func(ctx context.Context, it testpb.TestServiceClient, _ *grpc.ClientConn) {
		must(it.EmptyCall(ctx, &testpb.Empty{}))
	}},
	{"large_unary", func(ctx context.Context, it testpb.TestServiceClient, _ *grpc.ClientConn) {
		request := &testpb.SimpleRequest{ResponseSize: 314159, Payload: payload(271828)}
		size := len(must(it.UnaryCall(ctx, request)).GetPayload().GetBody())
		check(size == 314159, "%d bytes", size)
	}},
	{"client_streaming", func(ctx context.Context, it testpb.TestServiceClient, _ *grpc.ClientConn) {
		stream := must(it.StreamingInputCall(ctx))
		for _, size := range requests {
			check(stream.Send(&testpb.StreamingInputCallRequest{Payload: payload(size)}) == nil, "send")
		}
		sum := must(stream.CloseAndRecv()).GetAggregatedPayloadSize()
		check(sum == 74922, "%d bytes", sum)
	}},
	{"server_streaming", func(ctx context.Context, it testpb.TestServiceClient, _ *grpc.ClientConn) {
		request := &testpb.StreamingOutputCallRequest{}
		for _, size := range responses {
			request.ResponseParameters = append(request.ResponseParameters, &testpb.ResponseParameters{Size: int32(size)})
		}
		stream := must(it.StreamingOutputCall(ctx, request))
		for _, want := range responses {
			size := len(must(stream.Recv()).GetPayload().GetBody())
			check(size == want, "%d bytes", size)
		}
		_, err := stream.Recv()
		check(err == io.EOF, "%v", err)
	}},
	{"ping_pong", func(ctx context.Context, it testpb.TestServiceClient, _ *grpc.ClientConn) {
		stream := must(it.FullDuplexCall(ctx))
		for index, want := range responses {
			check(stream.Send(output(requests[index], want)) == nil, "send")
			size := len(must(stream.Recv()).GetPayload().GetBody())
			check(size == want, "%d bytes", size)
		}
		check(stream.CloseSend() == nil, "close")
		_, err := stream.Recv()
		check(err == io.EOF, "%v", err)
	}},
	{"empty_stream", func(ctx context.Context, it testpb.TestServiceClient, _ *grpc.ClientConn) {
		stream := must(it.FullDuplexCall(ctx))
		check(stream.CloseSend() == nil, "close")
		_, err := stream.Recv()
		check(err == io.EOF, "%v", err)
	}},
	{"timeout_on_sleeping_server", func(ctx context.Context, it testpb.TestServiceClient, _ *grpc.ClientConn) {
		ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
		defer cancel()
		stream, err := it.FullDuplexCall(ctx)
		if err == nil {
			stream.Send(&testpb.StreamingOutputCallRequest{Payload: payload(27182)})
			_, err = stream.Recv()
		}
		code(err, codes.DeadlineExceeded)
	}},
	{"cancel_after_begin", func(ctx context.Context, it testpb.TestServiceClient, _ *grpc.ClientConn) {
		ctx, cancel := context.WithCancel(ctx)
		stream := must(it.StreamingInputCall(ctx))
		cancel()
		_, err := stream.CloseAndRecv()
		code(err, codes.Canceled)
	}},
	{"cancel_after_first_response", func(ctx context.Context, it testpb.TestServiceClient, _ *grpc.ClientConn) {
		ctx, cancel := context.WithCancel(ctx)
		stream := must(it.FullDuplexCall(ctx))
		check(stream.Send(output(27182, 31415)) == nil, "send")
		must(stream.Recv())
		cancel()
		_, err := stream.Recv()
		code(err, codes.Canceled)
	}},
	{"custom_metadata", func(ctx context.Context, it testpb.TestServiceClient, _ *grpc.ClientConn) {
		initial, trailing := "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
		binary := "\xab\xab\xab"
		ctx = metadata.AppendToOutgoingContext(ctx, initial, "test_initial_metadata_value", trailing, binary)
		var header, trailer metadata.MD
		must(it.UnaryCall(ctx, &testpb.SimpleRequest{}, grpc.Header(&header), grpc.Trailer(&trailer)))
		check(strings.Join(header[initial], "") == "test_initial_metadata_value", "%v", header)
		check(strings.Join(trailer[trailing], "") == binary, "%v", trailer)
	}},
	{"status_code_and_message", func(ctx context.Context, it testpb.TestServiceClient, _ *grpc.ClientConn) {
		echoed := &testpb.EchoStatus{Code: 2, Message: "test status message"}
		_, err := it.UnaryCall(ctx, &testpb.SimpleRequest{ResponseStatus: echoed})
		message := code(err, codes.Unknown).Message()
		check(message == echoed.Message, "%q", message)
		stream := must(it.FullDuplexCall(ctx))
		check(stream.Send(&testpb.StreamingOutputCallRequest{ResponseStatus: echoed}) == nil, "send")
		_, err = stream.Recv()
		message = code(err, codes.Unknown).Message()
		check(message == echoed.Message, "%q", message)
	}},
	{"special_status_message", func(ctx context.Context, it testpb.TestServiceClient, _ *grpc.ClientConn) {
		echoed := &testpb.EchoStatus{Code: 2, Message: special}
		_, err := it.UnaryCall(ctx, &testpb.SimpleRequest{ResponseStatus: echoed})
		message := code(err, codes.Unknown).Message()
		check(message == special, "%q", message)
	}},
	{"unimplemented_method", func(ctx context.Context, it testpb.TestServiceClient, _ *grpc.ClientConn) {
		_, err := it.UnimplementedCall(ctx, &testpb.Empty{})
		code(err, codes.Unimplemented)
	}},
	{"unimplemented_service", func(ctx context.Context, _ testpb.TestServiceClient, connection *grpc.ClientConn) {
		_, err := testpb.NewUnimplementedServiceClient(connection).UnimplementedCall(ctx, &testpb.Empty{})
		code(err, codes.Unimplemented)
	}},
}

func run(it testCase, client testpb.TestServiceClient, connection *grpc.ClientConn) (outcome string) {
	defer func() {
		if reason := recover(); reason != nil {
			outcome = fmt.Sprintf("failed: %v", reason)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	it.run(ctx, client, connection)
	return "passed"
}

func main() {
	connection := must(grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials())))
	client := testpb.NewTestServiceClient(connection)
	for _, it := range cases {
		fmt.Println(it.name, strings.ReplaceAll(run(it, client, connection), "\n", " "))
	}
}
