// The server of gRPC's interoperability tests, by grpc-go: it serves TestService at a free port of
// this machine, prints the port, and ends when its stdin is closed.
//
// https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md says what it has to do.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

type service struct {
	testpb.UnimplementedTestServiceServer
}

func payload(size int32) *testpb.Payload {
	return &testpb.Payload{Body: make([]byte, size)}
}

func asked(echoed *testpb.EchoStatus) error {
	if echoed == nil || echoed.GetCode() == 0 {
		return nil
	}
	return status.Error(codes.Code(echoed.GetCode()), echoed.GetMessage())
}

func (service) EmptyCall(context.Context, *testpb.Empty) (*testpb.Empty, error) {
	return &testpb.Empty{}, nil
}

func (service) UnaryCall(_ context.Context, in *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	if err := asked(in.GetResponseStatus()); err != nil {
		return nil, err
	}
	return &testpb.SimpleResponse{Payload: payload(in.GetResponseSize())}, nil
}

type sender interface {
	Send(*testpb.StreamingOutputCallResponse) error
}

func answer(in *testpb.StreamingOutputCallRequest, stream sender) error {
	for _, parameters := range in.GetResponseParameters() {
		time.Sleep(time.Duration(parameters.GetIntervalUs()) * time.Microsecond)
		response := &testpb.StreamingOutputCallResponse{Payload: payload(parameters.GetSize())}
		if err := stream.Send(response); err != nil {
			return err
		}
	}
	return nil
}

func (service) StreamingOutputCall(in *testpb.StreamingOutputCallRequest, stream testpb.TestService_StreamingOutputCallServer) error {
	return answer(in, stream)
}

func (service) StreamingInputCall(stream testpb.TestService_StreamingInputCallServer) error {
	var sum int
	for {
		in, err := stream.Recv()
		if err == io.EOF {
			return stream.SendAndClose(&testpb.StreamingInputCallResponse{AggregatedPayloadSize: int32(sum)})
		}
		if err != nil {
			return err
		}
		sum += len(in.GetPayload().GetBody())
	}
}

func (service) FullDuplexCall(stream testpb.TestService_FullDuplexCallServer) error {
	for {
		in, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := asked(in.GetResponseStatus()); err != nil {
			return err
		}
		if err := answer(in, stream); err != nil {
			return err
		}
	}
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	server := grpc.NewServer()
	testpb.RegisterTestServiceServer(server, service{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	server.Serve(listener)
}
